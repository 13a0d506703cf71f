"""What people are shown at a terminal: whatever it is made of, nothing in it acts on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

import click
from rich.box import HEAVY_HEAD, SIMPLE
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from zeekml.core.text import printable

_PIPE_WIDTH: Final = 160  # columns when the output is no terminal


def say(text: str, *, err: bool = False) -> None:
    """Print a text, of which line breaks and tabs alone have an effect."""
    click.echo(printable(text, None, keep="\n\t"), err=err)


class InertConsole(Console):
    """Colours are its own; of what is printed, nothing acts on the terminal."""

    def say(self, text: str = "", style: str = "") -> None:
        """Print a paragraph that may hold anything."""
        self.print(Text(text, style=style))

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, None, keep="\n"), segment.style)


def output_console() -> InertConsole:
    """The console of standard output: wide and without colours where that is a pipe."""
    console = InertConsole()
    return console if console.is_terminal else InertConsole(width=_PIPE_WIDTH, no_color=True)


class PlainTable(Table):
    """A table of texts that may hold anything; those under the heads in `right` are numbers.

    One with a caption is framed; `options` are Rich's.
    """

    def __init__(
        self,
        *heads: str,
        title: str = "",
        caption: str = "",
        right: Collection[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(
            title=Text(title) if title else None,
            caption=Text(caption) if caption else None,
            box=HEAVY_HEAD if caption else SIMPLE,
            pad_edge=bool(caption),
            **options,
        )
        for head in heads:
            justify: JustifyMethod = "right" if head in right else "left"
            self.add_column(Text(head), justify=justify, overflow="fold")

    def add(self, *cells: str, style: str = "") -> None:
        """Add a row."""
        self.add_row(*map(Text, cells), style=style)

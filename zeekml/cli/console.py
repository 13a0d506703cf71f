"""Where tables for people are printed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from zeekml.core.text import printable

_PIPE_WIDTH: Final = 160  # columns when the output is no terminal


def output_console() -> Console:
    """Return the console of standard output: wide and without colours where that is a pipe."""
    console = _InertConsole()
    return console if console.is_terminal else _InertConsole(width=_PIPE_WIDTH, no_color=True)


class _InertConsole(Console):
    """Colours are its own; of what is printed, nothing acts on the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, None, keep="\n"), segment.style)

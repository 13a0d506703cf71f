"""Where tables for people are printed."""

from __future__ import annotations

from typing import Final

from rich.console import Console

_PIPE_WIDTH: Final = 160  # columns when the output is no terminal


def output_console() -> Console:
    """Return the console of standard output: wide and without colours where that is a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH, no_color=True)

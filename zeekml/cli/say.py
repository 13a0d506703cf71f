"""What people are told: whatever it is made of, nothing in it acts on a terminal."""

from __future__ import annotations

import click


def say(text: str, *, err: bool = False) -> None:
    """Print a text, of which line breaks and tabs alone have an effect."""
    click.echo(inert(text, but="\n\t"), err=err)


def inert(text: str, *, but: str = "") -> str:
    """The same text with every character escaped that is not printable, with exceptions."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in but else ascii(c)[1:-1] for c in text)

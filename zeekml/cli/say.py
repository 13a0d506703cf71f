"""What people are told: whatever it is made of, nothing in it acts on a terminal."""

from __future__ import annotations

import click

from zeekml.core.text import printable


def say(text: str, *, err: bool = False) -> None:
    """Print a text, of which line breaks and tabs alone have an effect."""
    click.echo(printable(text, None, keep="\n\t"), err=err)

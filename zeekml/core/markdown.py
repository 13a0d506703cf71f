"""Texts and tables as Markdown, as model cards have them."""

from __future__ import annotations

from collections.abc import Sequence


def plain(text: str) -> str:
    """Keep a text from breaking out of a table cell, a line or a heading."""
    return "".join(c if c.isprintable() else "?" for c in text).replace("|", "/")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells stay within their cells."""
    lines = ["| " + " | ".join(map(plain, heads)) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(map(plain, row)) + " |" for row in rows]
    return "\n".join(lines)

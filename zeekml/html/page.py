"""A report as one HTML page that needs nothing else.

Names of logs, hosts and datasets are chosen by others: every text is escaped, characters that do
not print are written out, and the page's own policy forbids it to load or run anything.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from zeekml.html.sections import NOT_RESOLVED, Figure, Report, Section, Table
from zeekml.html.style import CSS

_DOCTYPE: Final = "<!DOCTYPE html>"
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
# a cell with more text than this may break over lines
_LONG_CELL: Final = 40


def visible(text: str) -> str:
    """Return the text with every character that does not print written out.

    That includes those that turn the direction of writing: a name must not rearrange its line.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def escaped(text: str) -> str:
    """Return the text as it may stand in HTML, between tags or in a quoted attribute."""
    return html.escape(visible(text), quote=True)


def render(report: Report) -> str:
    """Return the page: a whole HTML document."""
    return "\n".join(_document(report)) + "\n"


def is_page(path: Path) -> bool:
    """Whether a file is a web page, which another may replace."""
    try:
        with path.open("rb") as file:
            return file.read(len(_DOCTYPE)) == _DOCTYPE.encode()
    except OSError:
        return False


def _document(report: Report) -> Iterator[str]:
    yield _DOCTYPE
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escaped(report.title)}</title>"
    yield f"<style>{CSS}</style>"
    yield "</head>"
    yield "<body>"
    yield f"<h1>{escaped(report.title)}</h1>"
    yield from (f"<p>{escaped(text)}</p>" for text in report.lead)
    yield "<nav><ol>"
    for section in report.sections:
        yield f'<li><a href="#{escaped(section.key)}">{escaped(section.title)}</a></li>'
    yield "</ol></nav>"
    yield "<main>"
    for section in report.sections:
        yield from _section(section)
    yield "</main>"
    yield f"<footer><p>Made by zeekml. {escaped(report.footnote)}</p></footer>"
    yield "</body>"
    yield "</html>"


def _section(section: Section, level: int = 2) -> Iterator[str]:
    yield f'<section id="{escaped(section.key)}">'
    yield f"<h{level}>{escaped(section.title)}</h{level}>"
    yield from (f"<p>{escaped(text)}</p>" for text in section.prose)
    for figure in section.figures:
        yield from _figure(figure)
    for table in section.tables:
        yield from _table(table)
    for part in section.parts:
        yield from _section(part, level + 1)
    yield "</section>"


def _figure(figure: Figure) -> Iterator[str]:
    yield f'<figure role="img" aria-label="{escaped(figure.description)}">'
    yield figure.svg or "<p>Not drawn: matplotlib is not installed.</p>"
    yield f"<figcaption>{escaped(figure.caption)}</figcaption>"
    yield "</figure>"


def _table(table: Table) -> Iterator[str]:
    yield '<div class="scroll"><table>'
    yield f"<caption>{escaped(table.caption)}</caption>"
    words = [_holds_words([row[i] for row in table.rows]) for i in range(len(table.heads))]
    heads = "".join(
        f'<th scope="col"{_classes(text=text)}>{escaped(head)}</th>'
        for head, text in zip(table.heads, words, strict=True)
    )
    yield f"<thead><tr>{heads}</tr></thead>"
    yield "<tbody>"
    for number, row in enumerate(table.rows):
        name, *cells = row
        strong = ' class="strong"' if number in table.strong else ""
        inner = "".join(_cell(cell, text) for cell, text in zip(cells, words[1:], strict=True))
        yield f'<tr{strong}><th scope="row">{_linked(table, number, name)}</th>{inner}</tr>'
    yield "</tbody></table></div>"


def _linked(table: Table, number: int, name: str) -> str:
    key = table.links[number] if number < len(table.links) else ""
    return f'<a href="#{escaped(key)}">{escaped(name)}</a>' if key else escaped(name)


def _holds_words(cells: Sequence[str]) -> bool:
    """Whether a column is text, which is read from the left, and not numbers."""
    return any(
        (cell[:1].isalpha() or len(cell) > _LONG_CELL) and cell != NOT_RESOLVED for cell in cells
    )


def _cell(cell: str, text: bool) -> str:
    return f"<td{_classes(text=text, long=len(cell) > _LONG_CELL)}>{escaped(cell)}</td>"


def _classes(**used: bool) -> str:
    names = " ".join(name for name, use in used.items() if use)
    return f' class="{names}"' if names else ""

"""A report as one HTML page that needs nothing else, and where it is written.

Names of logs, hosts and datasets are chosen by others: every text is escaped, characters that do
not print are written out, and the page's own policy forbids it to load or run anything.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from zeekml.core.atomic_write import write_whole
from zeekml.core.text import printable
from zeekml.errors import OutputError
from zeekml.html.sections import NOT_RESOLVED, Report, Section, Table, as_json

HTML_NAME: Final = "report.html"
_DOCTYPE: Final = "<!DOCTYPE html>"
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
# a cell with more text than this may break over lines
_LONG_CELL: Final = 40
# light, dark and on paper; no font, picture or script is fetched
_CSS: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --page: #ffffff; --stripe: #f6f8fa; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4af; --line: #3a424b;
  --page: #14171a; --stripe: #1d2126; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink);
  background: var(--page); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 2rem 0 .4rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: 0 0 .8rem; overflow-wrap: anywhere; }
nav ol { columns: 2 18rem; padding-left: 1.4rem; }
a { color: var(--accent); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .35rem; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child, .long, .text { text-align: left; }
.long { white-space: normal; min-width: 16rem; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-weight: 600;
  white-space: normal; vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--stripe); }
tbody th { font-weight: 500; }
tr.strong > * { font-weight: 700; }
figure { margin: 1.2rem 0; max-width: 52rem; }
figure svg { width: 100%; height: auto; color: var(--ink); }
figcaption, footer { color: var(--soft); font-size: .9rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; color: #000;
  background: #fff; } nav { display: none; } h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .scroll { overflow: visible; }
  th, td { white-space: normal; padding: .15rem .4rem; } }
"""


def escaped(text: str) -> str:
    """Text as it may stand in HTML, between tags or in a quoted attribute."""
    return html.escape(printable(text, None), quote=True)


def render(report: Report) -> str:
    """The page: a whole HTML document."""
    return "\n".join(_document(report)) + "\n"


def _document(report: Report) -> Iterator[str]:
    yield _DOCTYPE
    yield '<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escaped(report.title)}</title>"
    yield f"<style>{_CSS}</style>\n</head>\n<body>"
    yield f"<h1>{escaped(report.title)}</h1>"
    yield from (f"<p>{escaped(text)}</p>" for text in report.lead)
    yield "<nav><ol>"
    for section in report.sections:
        yield f'<li><a href="#{escaped(section.key)}">{escaped(section.title)}</a></li>'
    yield "</ol></nav>\n<main>"
    for section in report.sections:
        yield from _section(section)
    yield "</main>"
    yield f"<footer><p>Made by zeekml. {escaped(report.footnote)}</p></footer>\n</body>\n</html>"


def _section(section: Section, level: int = 2) -> Iterator[str]:
    yield f'<section id="{escaped(section.key)}">'
    yield f"<h{level}>{escaped(section.title)}</h{level}>"
    yield from (f"<p>{escaped(text)}</p>" for text in section.prose)
    for figure in section.figures:
        yield f'<figure role="img" aria-label="{escaped(figure.description)}">'
        yield figure.svg or "<p>Not drawn: matplotlib is not installed.</p>"
        yield f"<figcaption>{escaped(figure.caption)}</figcaption>"
        yield "</figure>"
    for table in section.tables:
        yield from _table(table)
    for part in section.parts:
        yield from _section(part, level + 1)
    yield "</section>"


def _table(table: Table) -> Iterator[str]:
    yield '<div class="scroll"><table>'
    yield f"<caption>{escaped(table.caption)}</caption>"
    # whether a column is text, which is read from the left, and not numbers
    words = [
        any(c != NOT_RESOLVED and (c[:1].isalpha() or len(c) > _LONG_CELL) for c in column)
        for column in zip(*table.rows, strict=True)
    ] or [False] * len(table.heads)
    heads = "".join(
        f'<th scope="col"{_classes(text=text)}>{escaped(head)}</th>'
        for head, text in zip(table.heads, words, strict=True)
    )
    yield f"<thead><tr>{heads}</tr></thead>"
    yield "<tbody>"
    for number, row in enumerate(table.rows):
        name, *cells = row
        key = table.links[number] if number < len(table.links) else ""
        linked = f'<a href="#{escaped(key)}">{escaped(name)}</a>' if key else escaped(name)
        inner = "".join(
            f"<td{_classes(text=text, long=len(cell) > _LONG_CELL)}>{escaped(cell)}</td>"
            for cell, text in zip(cells, words[1:], strict=True)
        )
        strong = _classes(strong=number in table.strong)
        yield f'<tr{strong}><th scope="row">{linked}</th>{inner}</tr>'
    yield "</tbody></table></div>"


def _classes(**used: bool) -> str:
    names = " ".join(name for name, use in used.items() if use)
    return f' class="{names}"' if names else ""


def json_text(report: Report) -> str:
    """What ``report.json`` holds."""
    return json.dumps(as_json(report), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


def check_directory(directory: Path, *, other_than: Iterable[Path] = ()) -> None:
    """Refuse a place that no report should be written to, before the work and not after it.

    `other_than` are directories that hold something else and must stay as they are.
    """
    for place in (directory, *directory.parents):
        if place.exists():
            if not place.is_dir():
                raise OutputError(f"{place}: is a file; the report needs a directory")
            if not os.access(place, os.W_OK | os.X_OK):
                raise OutputError(f"{place}: cannot write here")
            break
    if directory.resolve() in {other.resolve() for other in other_than}:
        raise OutputError(f"{directory}: holds a bundle; the report needs another directory")


def report_page(report: Path) -> Path:
    """The page that `--report` names: a path that ends in .html, or report.html in a directory."""
    is_file = report.suffix.lower() in (".html", ".htm") or report.is_file()
    return report if is_file and not report.is_dir() else report / HTML_NAME


def check_page(page: Path, outputs: Collection[Path] = ()) -> None:
    """Refuse a place for a page before the work: a file of another kind, or one of the outputs."""
    if page.exists() and not _is_page(page):
        # a slip of the keyboard must not cost a log
        raise OutputError(f"{page}: is there and is no such page; choose another --report")
    places = {place.resolve() for place in (page, page.parent)}
    if taken := next((path for path in outputs if path.resolve() in places), None):
        raise OutputError(f"{page}: the run writes {taken.name} there; choose another --report")
    check_directory(page.parent)


def write_report(report: Report, place: Path) -> tuple[Path, Path]:
    """Write the page that `report_page` finds and the same as JSON beside it, both or neither.

    The page and the JSON file are returned. `OutputError`: they cannot be written.
    """
    page = report_page(place)
    data = page.with_suffix(".json")
    write_whole(page.parent, {page.name: render(report), data.name: json_text(report)})
    return page, data


def _is_page(path: Path) -> bool:
    """Whether a file is a web page, which another may replace."""
    try:
        with path.open("rb") as file:
            return file.read(len(_DOCTYPE)) == _DOCTYPE.encode()
    except OSError:
        return False

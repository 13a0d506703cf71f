"""The tables of docs/formats.md, made of the code's; run to write them into the page."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from zeekml.alerts.constant_fields import (
    CEF_CONSTANTS,
    ECS_CONSTANTS,
    OCSF_CONSTANTS,
    OCSF_HEALTH_CONSTANTS,
)
from zeekml.alerts.conversions.plain import Convert, same
from zeekml.alerts.formats import FORMATS
from zeekml.alerts.notice_mapping import LEFT_OUT, MAPPING, Target

PAGE: Final = Path(__file__).parents[2] / "docs" / "formats.md"


def tables() -> dict[str, str]:
    """Each table by its name in the page."""
    return {
        "columns": _table(
            ("`notice.log`", "OCSF", "ECS", "CEF"),
            ((f"`{m.column}`", *map(_cell, (m.ocsf, m.ecs, m.cef))) for m in MAPPING),
        ),
        "health": _table(
            ("`notice.log`", "OCSF"),
            ((f"`{m.column}`", _cell(m.health)) for m in MAPPING if m.health),
        ),
        "conversions": _table(
            ("conversion", "gives"),
            ((name, says) for name, says in sorted(_conversions().items())),
        ),
        "constants": _table(
            ("form", "the same in every line"),
            (
                (name, ", ".join(f"`{path}` {json.dumps(v)}" for path, v in _shown(constants)))
                for name, constants in (
                    ("OCSF", OCSF_CONSTANTS),
                    ("OCSF, of health", OCSF_HEALTH_CONSTANTS),
                    ("ECS", ECS_CONSTANTS),
                    ("CEF", CEF_CONSTANTS),
                )
            ),
        ),
        "left_out": ", ".join(f"`{name}`" for name in sorted(LEFT_OUT)),
    }


def examples(page: str) -> dict[str, str]:
    """The line of each form that the page's line of notice.log gives."""
    values = json.loads(_code(told(page, "example notice")))
    return {
        f"example {form}": f"```\n{encode(values).decode()}\n```"
        for form, encode in FORMATS.items()
        if form != "notice"
    }


def told(page: str, name: str) -> str:
    """A table as it stands in the page."""
    return str(_place(name).findall(page)[0][1])


def put(page: str, name: str, table: str) -> str:
    """The page with a table in its place."""
    return _place(name).sub(lambda found: found[1] + table + found[3], page)


def _code(block: str) -> str:
    return block.strip("`\n").removeprefix("json").strip()


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)


def _shown(constants: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    # the version changes with each release
    versions = ("metadata.product.version", "observer.version", "header.version")
    return ((path, value) for path, value in constants.items() if path not in versions)


def _cell(targets: Iterable[Target]) -> str:
    return "<br>".join(map(_told, targets))


def _told(target: Target) -> str:
    label = f" “{target.label}”" if target.label else ""
    how = "" if target.convert is same else f" *{_name(target.convert)}*"
    return f"`{target.path}`{label}{how}"


def _name(convert: Convert) -> str:
    return str(getattr(convert, "__name__")).replace("_", " ")  # noqa: B009 - callables need none


def _conversions() -> dict[str, str]:
    used = {
        target.convert
        for m in MAPPING
        for target in (*m.ocsf, *m.health, *m.ecs, *m.cef)
        if target.convert is not same
    }
    return {_name(c): (inspect.getdoc(c) or "").partition("\n")[0] for c in used}


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(heads)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


if __name__ == "__main__":
    text = PAGE.read_text()
    for each, made in (tables() | examples(text)).items():
        text = put(text, each, made)
    PAGE.write_text(text)

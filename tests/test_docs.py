"""Pages for those who change zeekml name things that exist, and readers find every page."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

import zeekml

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "zeekml"
DEVELOPER_PAGES = ("docs/architecture.md", "docs/glossary.md", "CONTRIBUTING.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = [
    room
    for layer in PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    for room in layer.split(" | ")
]


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def names_in(path: Path) -> set[str]:
    """What a module defines at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


@pytest.mark.parametrize("page", DEVELOPER_PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    named = re.findall(r"`([\w./-]+(?:\.py|\.yaml|\.md|\.toml|/))`", text_of(page))
    assert named
    missing = [
        name
        for name in named
        if not any((top / name).exists() for top in (PACKAGE, ROOT, ROOT / "zeekml/features"))
        and not list(PACKAGE.rglob(name))
    ]
    assert not missing


@pytest.mark.parametrize("page", DEVELOPER_PAGES)
def test_definitions_that_are_named_exist(page: str) -> None:
    pairs = re.findall(r"`([\w/]+\.py)` `(\w+)`", text_of(page))
    wrong = [(file, name) for file, name in pairs if name not in names_in(PACKAGE / file)]
    assert not wrong


def test_both_tours_have_at_most_ten_stations() -> None:
    tours = re.findall(r"\| # \| where .*\n\|[-|]+\n((?:\|.*\n)+)", text_of("docs/architecture.md"))
    assert len(tours) == 2
    assert all(2 < tour.count("\n") <= 10 for tour in tours)


def test_every_room_says_what_it_is_for_and_stands_in_the_picture() -> None:
    picture = text_of("docs/architecture.md").split("```")[1]
    told = re.findall(r"^(\w+) ", picture, re.MULTILINE)
    hidden = {"__main__", "_version"}
    assert set(told) == set(ROOMS) - hidden
    for room in (
        *ROOMS,
        *(str(p.parent.relative_to(PACKAGE)) for p in PACKAGE.rglob("__init__.py")),
    ):
        module = (
            importlib.import_module("zeekml" if room == "." else f"zeekml.{room.replace('/', '.')}")
            if room != "__main__"
            else zeekml
        )
        assert module.__doc__
        assert len(module.__doc__.split()) > 3


def test_rooms_stay_small_enough_to_be_read() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    crowded = {f: n for f in folders if (n := len(list(f.glob("*.py")))) > 21}
    assert not crowded


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path))
    assert not {name: paths for name, paths in found.items() if len(paths) > 1}


def test_every_page_is_in_the_index_and_every_link_leads_somewhere() -> None:
    index = text_of("docs/README.md")
    pages = sorted(p.name for p in (ROOT / "docs").glob("*.md") if p.name != "README.md")
    assert all(f"]({page})" in index for page in pages)
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", page.read_text())
        broken = [link for link in links if not (page.parent / link).exists()]
        assert not broken, page


def test_the_version_is_one() -> None:
    assert PROJECT["project"]["version"] == zeekml.__version__

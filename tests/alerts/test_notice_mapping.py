"""The page about forms says what the code does."""

from __future__ import annotations

import pytest
from mapping_table import PAGE, examples, tables, told

PAGE_TEXT = PAGE.read_text()
REMEDY = "run tests/support/mapping_table.py"


@pytest.mark.parametrize("name", tables())
def test_tables_of_the_page_are_those_of_the_code(name: str) -> None:
    assert told(PAGE_TEXT, name) == tables()[name], REMEDY


@pytest.mark.parametrize("name", ["example ocsf", "example ecs", "example cef"])
def test_examples_of_the_page_are_what_the_code_makes(name: str) -> None:
    assert told(PAGE_TEXT, name) == examples(PAGE_TEXT)[name], REMEDY

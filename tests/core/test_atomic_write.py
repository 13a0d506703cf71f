"""Two directories that take each other's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekml.core.atomic_write import exchange


def test_two_directories_change_places_at_once(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    assert exchange(tmp_path / "first", tmp_path / "second")
    assert (tmp_path / "first" / "file").read_text() == "second"
    assert (tmp_path / "second" / "file").read_text() == "first"


def test_what_is_not_there_cannot_be_exchanged(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    with pytest.raises(FileNotFoundError, match="nothing"):
        exchange(tmp_path / "first", tmp_path / "nothing")
    assert (tmp_path / "first").is_dir()

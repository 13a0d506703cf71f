"""Only what nobody else can have written is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekml.core.private_directory import belongs_to, ours_alone, usable


def test_a_directory_that_is_made_is_ours(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "place"
    assert not ours_alone(directory)
    assert usable(directory)
    assert ours_alone(directory)
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_where_others_may_write_is_not(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert not ours_alone(tmp_path)
    assert not usable(tmp_path)


def test_what_belongs_to_another_account_is_not(tmp_path: Path) -> None:
    status = tmp_path.stat()
    assert belongs_to(status, status.st_uid)
    assert not belongs_to(status, status.st_uid + 1)


def test_a_file_is_no_place(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert not usable(file)
    assert not usable(file / "below")

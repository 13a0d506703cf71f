"""What comes for other tools: found, whole, and copied without harm to what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekml.alerts.shipped_content import copy_content, shipped_content
from zeekml.detection.policy import default_rules_dir
from zeekml.errors import OutputError


def test_every_directory_beside_the_policy_is_content() -> None:
    content = {c.name: c for c in shipped_content()}
    top = default_rules_dir()
    assert content.keys() == {path.name for path in top.iterdir() if path.is_dir()}
    assert {"elastic", "grafana", "kibana", "sigma", "wazuh"} <= content.keys()
    assert all(": " in c.title for c in content.values())
    on_disk = {path for path in top.glob("*/**/*") if path.is_file()}
    told = {c.directory / file for c in content.values() for file in c.files}
    assert told == on_disk


def test_a_title_is_the_first_line_of_the_readme(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\n")
    (tmp_path / "plain").mkdir()
    told = tmp_path / "told" / "deep"
    told.mkdir(parents=True)
    (told / "rule.txt").write_text("x")
    (tmp_path / "told" / "README.md").write_text("# Tool: what for\n\nmore\n")
    plain, with_title = shipped_content(tmp_path)
    assert (plain.name, plain.title, plain.files) == ("plain", "", ())
    assert (with_title.name, with_title.title) == ("told", "Tool: what for")
    assert with_title.files == (Path("README.md"), Path("deep/rule.txt"))


def test_copies_are_the_files_and_come_as_often_as_one_likes(tmp_path: Path) -> None:
    content = shipped_content()
    to = tmp_path / "not" / "there"
    files = copy_content(content, to)
    assert files == copy_content(content, to)
    assert {path.relative_to(to) for path in to.rglob("*") if path.is_file()} == {
        Path(c.name) / file for c in content for file in c.files
    }
    for c in content:
        for file in c.files:
            assert (to / c.name / file).read_bytes() == (c.directory / file).read_bytes()


def test_what_somebody_changed_is_kept_and_nothing_is_copied(tmp_path: Path) -> None:
    content = [c for c in shipped_content() if c.name in ("sigma", "wazuh")]
    changed = tmp_path / "wazuh" / "zeekml_rules.xml"
    changed.parent.mkdir()
    changed.write_text("mine")
    with pytest.raises(OutputError, match=r"zeekml_rules\.xml: is there and differs.*--overwrite"):
        copy_content(content, tmp_path)
    assert changed.read_text() == "mine"
    assert not (tmp_path / "sigma").exists()
    copy_content(content, tmp_path, overwrite=True)
    assert changed.read_text() != "mine"
    assert (tmp_path / "sigma" / "README.md").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file.*: cannot write: Not a directory"):
        copy_content(shipped_content(), tmp_path / "file" / "below")

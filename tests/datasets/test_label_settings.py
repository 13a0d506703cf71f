from __future__ import annotations

from pathlib import Path

import pytest

from zeekml.datasets.environment import LABEL_NAMES, UNLABELLED
from zeekml.datasets.label_file import read_label_file
from zeekml.datasets.label_settings import DEFAULT_TOLERANCE, find_settings
from zeekml.errors import DataError


def test_nothing_there(tmp_path: Path) -> None:
    settings = find_settings(tmp_path)
    assert settings.own == {}
    assert settings.default is None
    assert (settings.before, settings.after) == (DEFAULT_TOLERANCE, DEFAULT_TOLERANCE)
    assert settings.suggested == str(tmp_path / "labels.toml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.toml", '"SSH Rot-13" = "bruteforce"\nnoise = "unlabelled"\n'),
        ("labels.json", '{"SSH Rot-13": "bruteforce", "noise": "unlabelled"}'),
        ("labels.toml", '[labels]\n"SSH Rot-13" = "bruteforce"\nnoise = "unlabelled"\n'),
    ],
)
def test_mapping(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    settings = find_settings(tmp_path)
    assert settings.code("ssh_rot13", "", "here") == LABEL_NAMES.index("bruteforce")
    assert settings.code("NOISE", "", "here") == UNLABELLED


def test_default_and_tolerance(tmp_path: Path) -> None:
    (tmp_path / "labels.toml").write_text('default = "benign"\nbefore = 0\nafter = 2.5\n')
    settings = find_settings(tmp_path)
    assert (settings.default, settings.before, settings.after) == (0, 0.0, 2.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('x = "trojan"', r"'x' is mapped to 'trojan', which is no class; classes are: benign"),
        ('"a b" = "c2"\na_b = "dos"', "'a_b' is mapped to two classes"),
        ('"-" = "c2"', "means no label"),
        ("x = 3", "unknown key 'x'"),
        ('[labels]\n[other]\n"x" = "c2"', "unknown key 'other'"),
        ("before = -1", "'before' must be a number of seconds, 0 or more"),
        ("after = nan", "'after' must be"),
        ('after = "long"', "'after' must be a number"),
        ('default = "nothing"', "'default' is mapped to 'nothing'"),
        ("[labels]\nx = 3", "'x' is mapped to '3'"),
        ("labels = 3", "'labels' must map"),
        ("x = ", r"labels\.toml: cannot be read: "),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.toml").write_text(text)
    with pytest.raises(DataError, match=message):
        find_settings(tmp_path)


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, "\\", "\x00"])
def test_json_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=r"labels\.json: "):
        find_settings(tmp_path)


def test_two_files_are_one_too_many(tmp_path: Path) -> None:
    for name in ("labels.toml", "labels.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match="has both"):
        find_settings(tmp_path)


DOCUMENTATION = Path(__file__).parent.parent.parent / "docs" / "training.md"


def blocks(language: str) -> list[str]:
    parts = DOCUMENTATION.read_text().split(f"```{language}\n")[1:]
    return [part.partition("```")[0] for part in parts]


def test_the_examples_of_the_documentation_work(tmp_path: Path) -> None:
    (settings_text,), (rows_text,) = blocks("toml"), blocks("csv")
    (tmp_path / "labels.toml").write_text(settings_text)
    (tmp_path / "labels.csv").write_text(rows_text)
    settings = find_settings(tmp_path)
    assert (settings.default, settings.before, settings.after) == (0, 1.0, 3.0)
    assert settings.code("lab_noise", "", "here") == UNLABELLED
    rows = read_label_file(tmp_path / "labels.csv", settings)
    assert [LABEL_NAMES[rule.code] for rule in rows.rules] == ["bruteforce", "scan"]
    assert rows.rules[0].first == 1795430084.0
    assert rows.default is not None

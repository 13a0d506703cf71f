"""Names of labels, and the settings that extend them."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.datasets.environment import LABEL_NAMES, OTHER_ATTACK, UNLABELLED
from zeekml.datasets.label_file import read_label_file
from zeekml.datasets.label_names import (
    CODES,
    CONTRADICTORY,
    DEFAULT_TOLERANCE,
    LabelSettings,
    find_settings,
    folded,
)
from zeekml.errors import DataError, UnknownLabelError


def named(label: str, detail: str = "", **own: str) -> str:
    mapping = {folded(raw): CODES[name] for raw, name in own.items() if name in CODES}
    code = LabelSettings(mapping).code(label, detail)
    special = {UNLABELLED: "unlabelled", CONTRADICTORY: "contradictory"}
    return special.get(code) or LABEL_NAMES[code]


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("PartOfAHorizontalPortScan", "scan"),
        ("DDoS", "dos"),
        ("Okiru", "malware"),
        ("Okiru-Attack", "malware"),
        ("C&C", "c2"),
        ("C&C-HeartBeat", "c2"),
        ("C&C-FileDownload", "c2"),
        ("C&C-Torii", "c2"),
        ("C&C-Mirai", "c2"),
        ("C&C-PartOfAHorizontalPortScan", "c2"),
        ("FileDownload", "malware"),
        ("Attack", "other-attack"),
        ("CC", "c2"),
        ("External-Attack-to-Device", "other-attack"),
        ("-", "other-attack"),
        ("(empty)", "other-attack"),
        ("", "other-attack"),
    ],
)
def test_detailed_labels_of_stratosphere(detail: str, expected: str) -> None:
    assert named("Malicious", detail) == expected
    assert named(f"Malicious|{detail}") == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("BENIGN", "benign"),
        ("Normal", "benign"),
        ("FTP-Patator", "bruteforce"),
        ("SSH-Patator", "bruteforce"),
        ("DoS Hulk", "dos"),
        ("DoS slowloris", "dos"),
        ("DDoS", "dos"),
        ("PortScan", "scan"),
        ("Infiltration - Portscan", "scan"),
        ("Bot", "c2"),
        ("Infiltration", "malware"),
        ("Web Attack - XSS", "web"),
        ("Web Attack \u2013 Sql Injection", "web"),
        ("Web Attack \ufffd Brute Force", "web"),
        ("Heartbleed", "other-attack"),
        (" Fuzzers", "other-attack"),
        ("Reconnaissance", "scan"),
        ("Backdoor", "c2"),
        ("Worms", "malware"),
        ("Exploits", "other-attack"),
        ("Generic", "other-attack"),
        ("Shellcode", "other-attack"),
        ("Analysis", "other-attack"),
        ("other_attack", "other-attack"),
        *((text, "unlabelled") for text in ("", "-", "null", "Background", "UNKNOWN")),
    ],
)
def test_names_of_other_sets(label: str, expected: str) -> None:
    assert named(label) == expected


def test_every_class_is_its_own_name() -> None:
    for name in LABEL_NAMES:
        assert named(name) == name
        assert named(name.upper().replace("-", "_")) == name


@given(st.sampled_from(["DoS Hulk", "C&C-HeartBeat", "Web Attack - XSS"]), st.data())
def test_case_spaces_and_punctuation_do_not_count(name: str, data: st.DataObject) -> None:
    noise = st.text(" _-", max_size=2)
    spelled = "".join(
        data.draw(noise) + (c.swapcase() if data.draw(st.booleans()) else c) for c in name
    )
    assert LabelSettings().code(spelled) == LabelSettings().code(name)


@given(st.text(string.printable, max_size=12))
def test_any_text_has_a_class_or_is_refused(text: str) -> None:
    try:
        code = LabelSettings().code(text)
    except UnknownLabelError as error:
        assert "unknown label" in str(error)
    else:
        assert CONTRADICTORY <= code <= OTHER_ATTACK


def test_benign_may_be_detailed_as_anything_but_an_attack() -> None:
    assert named("Benign", "Microsoft") == "benign"
    assert named("Benign", "-") == "benign"
    assert named("Benign", "C&C") == "contradictory"
    assert named("Malicious", "Benign") == "contradictory"
    assert named("Background", "whatever") == "unlabelled"


def test_a_class_is_not_changed_by_its_detail() -> None:
    assert named("dos", "some tool") == "dos"
    assert named("-", "DDoS") == "dos"


@pytest.mark.parametrize(
    ("label", "detail"), [("trojan", ""), ("Malicious", "trojan"), ("???", "")]
)
def test_unknown_labels(label: str, detail: str) -> None:
    message = re.escape(f"unknown label {detail or label!r}; known are: benign")
    with pytest.raises(UnknownLabelError, match=message):
        named(label, detail)


def test_own_mapping_goes_first() -> None:
    assert named("Trojan", trojan="malware") == "malware"
    assert named("DDoS", ddos="unlabelled") == "unlabelled"
    assert named("Malicious", "never heard of", malicious="c2") == "c2"
    assert named("Malicious", "Attack", **{"Malicious|Attack": "web", "attack": "dos"}) == "web"
    assert named("Malicious", "Attack", attack="dos", malicious="c2") == "dos"


def test_message_is_short_and_escaped() -> None:
    with pytest.raises(UnknownLabelError) as caught:
        LabelSettings().code("\x1b[31m" + "x" * 500, "", "conn.log: line 9")
    message = str(caught.value)
    assert message.startswith("conn.log: line 9: unknown label '\\x1b[31mxxx")
    assert "\x1b" not in message
    assert "labels.toml" in message
    assert len(message) < 300


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
    assert settings.code("ssh_rot13") == LABEL_NAMES.index("bruteforce")
    assert settings.code("NOISE") == UNLABELLED


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
    assert settings.code("lab_noise") == UNLABELLED
    rows = read_label_file(tmp_path / "labels.csv", settings)
    assert [LABEL_NAMES[rule.code] for rule in rows.rules] == ["bruteforce", "scan"]
    assert rows.rules[0].first == 1795430084.0
    assert rows.default is not None

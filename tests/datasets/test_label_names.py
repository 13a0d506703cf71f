from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.datasets.environment import LABEL_NAMES, OTHER_ATTACK, UNLABELLED
from zeekml.datasets.label_names import CONTRADICTORY, class_code, folded, resolve
from zeekml.datasets.label_settings import LabelSettings
from zeekml.errors import UnknownLabelError


def named(label: str, detail: str = "", **own: str) -> str:
    codes = {folded(raw): class_code(name) for raw, name in own.items()}
    code = resolve(label, detail, {raw: code for raw, code in codes.items() if code is not None})
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
    assert resolve(spelled) == resolve(name)


@given(st.text(string.printable, max_size=12))
def test_any_text_has_a_class_or_is_refused(text: str) -> None:
    try:
        code = resolve(text)
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

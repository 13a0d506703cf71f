from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from zeekml.detection.notice import NOTES
from zeekml.detection.policy import (
    POLICY_FILE,
    Policy,
    default_rules_dir,
    load_policy,
    policy_of,
)
from zeekml.detection.yaml_values import parse_yaml
from zeekml.ensemble.classes import THREATS
from zeekml.errors import ConfigError

SHIPPED = (default_rules_dir() / POLICY_FILE).read_text(encoding="utf-8")


def parse_policy(text: bytes) -> Policy:
    return policy_of(parse_yaml(text, POLICY_FILE))


def changed(old: str, new: str) -> bytes:
    """The shipped policy with the first `old` replaced."""
    assert old in SHIPPED
    return SHIPPED.replace(old, new, 1).encode()


def line_of(text: bytes, part: str) -> int:
    return next(n for n, line in enumerate(text.decode().splitlines(), 1) if part in line)


def test_the_shipped_policy() -> None:
    policy = load_policy()
    assert tuple(d.threat for d in policy.detectors) == THREATS
    assert tuple(d.note for d in policy.detectors) == tuple(NOTES.values())
    by_threat = {d.threat: d for d in policy.detectors}
    assert by_threat["dos"].group_by == ("id.resp_h",)
    assert all(d.enabled and d.threshold is None and d.techniques for d in policy.detectors)
    # one view of the flows, so that one detector wins each vote
    assert len({(d.window, d.top) for d in policy.detectors}) == 1
    assert by_threat["c2"].suppress_for == 3600.0


def test_every_key_is_explained() -> None:
    comments = "\n".join(line for line in SHIPPED.splitlines() if line.startswith("#"))
    keys = set(re.findall(r"^    (\w+):", SHIPPED, re.MULTILINE))
    assert keys
    for key in keys:
        assert re.search(rf"^#   {key}\b", comments, re.MULTILINE), key


def test_a_directory_or_a_file(tmp_path: Path) -> None:
    (tmp_path / POLICY_FILE).write_text(SHIPPED, encoding="utf-8")
    assert load_policy(tmp_path).detectors == load_policy(tmp_path / POLICY_FILE).detectors
    with pytest.raises(ConfigError, match="cannot read the rules"):
        load_policy(tmp_path / "elsewhere")


def test_values_are_taken() -> None:
    text = changed("group_by: [id.orig_h]", "group_by: [id.resp_p, id.orig_h]")
    text = text.replace(b"threshold: auto", b"threshold: 0.25", 1)
    text = text.replace(b"  scan:\n", b"  scan:\n    enabled: false\n", 1)
    dos, scan = parse_policy(text).detectors[:2]
    assert dos.threshold == 0.25
    assert scan.group_by == ("id.orig_h", "id.resp_p")
    assert not scan.enabled


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    threshold: auto", "    treshold: auto", "did you mean 'threshold'?"),
        ("    threshold: auto", "    threshold: 1.0", "between 0 and 1"),
        ("    window: 5m", "    window: 5 minutes", "such as 30s"),
        ("    window: 5m", "    window: 25h", "to 86400 seconds"),
        ("    top: 5", "    top: 6\n    top: 5", "stands twice"),
        ("    top: 5", "    top: 0", "from 1 to 100"),
        ("    minimum_flows: 10", "    minimum_flows: 4097", "from 1 to 4096"),
        ("    minimum_members: 3", "    minimum_members: many", "whole number"),
        ("    group_by: [id.resp_h]", "    group_by: [id.orig_p]", "id.orig_h, id.resp_h, id.resp"),
        ("    group_by: [id.resp_h]", "    group_by: []", "at least one"),
        ("    group_by: [id.resp_h]", "    group_by: [id.resp_h, id.resp_h]", "twice"),
        ("    group_by: [id.resp_h]", "    group_by: id.resp_h", "must be a list"),
        ("    note: ZeekML::Scan", "    note: ZeekML::Scans", "ZeekML::Scan"),
        ("    suppress_for: 15m", "    suppress_for: 4m", "shorter than window"),
        ("{from: 0, severity: medium}", "{from: 0, severity: huge}", "low, medium, high, critical"),
        ("{from: 0, severity: medium}", "{from: 0.1, severity: medium}", "first band"),
        ("flows: 100, severity: high}", "flows: 100, severity: medium}", "more severe"),
        ("from: 0, confidence: 60, flows: 100", "from: -1", "from 0 to 1"),
        ("confidence: 60, flows: 100", "confidence: 100", "from 1 to 99"),
        ("confidence: 85, flows: 1000", "confidence: 59", "must not start lower"),
        ("{from: 0, severity: medium}", "{from: 0, confidence: 5, severity: medium}", "first"),
        ("tactic: TA0040", "tactic: impact", "TA0043"),
        ("[T1498, T1499]", "[T1498, T149]", "T1046"),
        ("[T1498, T1499]", "[T1498, T1433]", "is T1433, which ATT&CK 18.0 does not have"),
        ("[T1498, T1499]", "[T1498, T1498.003]", "is T1498.003, which"),
        ("tactic: TA0040", "tactic: TA0041", "is TA0041, which ATT&CK 18.0 does not have"),
        ("[T1498, T1499]", "[T1498], unlisted: maybe", "true, false"),
        ("version: 1", "version: 2", "from 1 to 1"),
        ("  malware:\n", "  virus:\n", "unknown key 'virus'"),
    ],
)
def test_mistakes_name_their_line(old: str, new: str, says: str) -> None:
    text = changed(old, new)
    with pytest.raises(ConfigError) as caught:
        parse_policy(text)
    assert says in str(caught.value)
    line = line_of(text, new.splitlines()[-1].strip())
    assert str(caught.value).startswith(f"policy.yaml:{line}: ")


def test_ids_newer_than_the_list_are_taken_where_that_is_said() -> None:
    new = "{tactic: TA0112, techniques: [T1999, T1498.009], unlisted: true}"
    policy = parse_policy(changed("{tactic: TA0040, techniques: [T1498, T1499]}", new))
    assert policy.detectors[0].tactic == "TA0112"
    assert policy.detectors[0].techniques == ("T1999", "T1498.009")


def test_a_missing_detector_is_no_silent_one() -> None:
    start = SHIPPED.index("  malware:\n")
    with pytest.raises(ConfigError, match="detectors lacks the key 'malware'"):
        parse_policy(SHIPPED[:start].encode())


def test_thresholds() -> None:
    policy = parse_policy(changed("threshold: auto", "threshold: 0.25"))
    bundle = dict.fromkeys(THREATS, 0.75)
    assert policy.thresholds(bundle) == bundle | {"dos": 0.25}
    del bundle["web"]
    with pytest.raises(ConfigError, match=r"detectors\.web\.threshold is auto, but the bundle"):
        policy.thresholds(bundle)


def test_a_silenced_detector_needs_no_threshold() -> None:
    policy = parse_policy(changed("  web:\n", "  web:\n    enabled: false\n"))
    thresholds = policy.thresholds({t: 0.75 for t in THREATS if t != "web"})
    assert "web" not in thresholds


def test_severity_bands() -> None:
    dos = load_policy().detectors[0]
    assert dos.severity(0.1, 5000, 59) == "medium"
    assert dos.severity(0.5, 99, 90) == "medium"
    assert dos.severity(0.2, 100, 60) == "high"
    assert dos.severity(0.4, 5000, 84) == "high"
    assert dos.severity(0.01, 1000, 85) == "critical"
    # what a bundle tells nothing of is as likely as not
    assert dos.severity(0.99, 5000) == dos.severity(0.99, 5000, 50) == "medium"
    c2 = load_policy().detectors[3]
    assert [c2.severity(0.5, 30, sure) for sure in (39, 40, 84, 85)] == [
        *("medium", "high", "high", "critical")
    ]
    assert c2.severity(0.5, 30) == "high"


def test_severity_bands_by_score() -> None:
    band = "{from: 0, confidence: 50, flows: 20, severity: medium}"
    scan = parse_policy(changed(band, "{from: 0.1, flows: 20, severity: medium}")).detectors[1]
    assert scan.severity(0.09, 5000) == "low"
    assert scan.severity(0.1, 20) == "medium"


@pytest.mark.parametrize(
    ("written", "read"), [("auto", None), ("0.75", 0.75), ('"off"', math.inf), ("'off'", math.inf)]
)
def test_pairs(written: str, read: float | None) -> None:
    policy = parse_policy(changed("    pairs: auto", f"    pairs: {written}"))
    assert {d.threat: d.pairs for d in policy.detectors if d.pairs is not None} == (
        {} if read is None else {"c2": read}
    )
    assert parse_policy(changed("    pairs: auto\n", "")).detectors[3].pairs is None


@pytest.mark.parametrize("written", ["1.5", "often", "0"])
def test_pairs_that_make_no_sense(written: str) -> None:
    text = changed("    pairs: auto", f"    pairs: {written}")
    with pytest.raises(ConfigError, match=rf":{line_of(text, 'pairs: ' + written)}: "):
        parse_policy(text)


def test_pairs_are_for_some_threats() -> None:
    text = changed("    suppress_for: 15m", "    pairs: auto\n    suppress_for: 15m")
    with pytest.raises(ConfigError, match="c2 and exfil alone"):
        parse_policy(text)

"""The list of ATT&CK's ids."""

from __future__ import annotations

import re

from zeekml.detection.attack_ids import TACTICS, TECHNIQUES


def test_there_are_as_many_as_the_matrix_says() -> None:
    # attack.mitre.org on version 18: 14 tactics, 216 techniques, 475 sub-techniques
    assert len(TACTICS) == 14
    assert sum("." not in name for name in TECHNIQUES) == 216
    assert sum("." in name for name in TECHNIQUES) == 475


def test_ids_look_like_ids_and_every_part_has_its_whole() -> None:
    for name in TECHNIQUES:
        assert re.fullmatch(r"T\d{4}(\.\d{3})?", name)
        assert name.partition(".")[0] in TECHNIQUES
    assert all(re.fullmatch(r"TA\d{4}", name) for name in TACTICS)


def test_what_is_revoked_or_never_was_is_missing() -> None:
    # T1043 and T1086 became parts of others; T1055.006 and T1547.011 were given up
    assert not TECHNIQUES & {"T1043", "T1086", "T1055.006", "T1547.011", "T1110.005", "T0001"}
    assert {"T1046", "T1110.003", "T1218.015", "T1574.001"} <= TECHNIQUES

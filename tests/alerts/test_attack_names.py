from __future__ import annotations

from zeekml.alerts.attack_names import ATTACK_NAMES
from zeekml.detection.attack_ids import TACTICS, TECHNIQUES
from zeekml.detection.policy import load_policy


def test_they_are_techniques_of_attack() -> None:
    assert ATTACK_NAMES.keys() <= TECHNIQUES
    assert {known.tactic for known in ATTACK_NAMES.values()} <= TACTICS.keys()
    assert all(known.name.strip() == known.name != "" for known in ATTACK_NAMES.values())


def test_those_of_the_shipped_policy_are_known() -> None:
    for detector in load_policy().detectors:
        assert set(detector.techniques) <= ATTACK_NAMES.keys()
        # and one of them has the detector's tactic
        assert detector.tactic in {ATTACK_NAMES[t].tactic for t in detector.techniques}

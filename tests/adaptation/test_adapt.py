"""From labels to a bundle, on recorded traffic that raises the same false alarm again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from zeekml.adaptation.adapt import adapt, write_adapted
from zeekml.adaptation.labelled_site import LabelledSite, site_as_kept
from zeekml.adaptation.what_opens import Detection
from zeekml.batch.run import ScoreJob, score
from zeekml.ensemble.bundle import load_bundle
from zeekml.readers.files.discovery import discover
from zeekml.triage.kept_incidents import kept_incidents
from zeekml.triage.labels import Label
from zeekml.triage.notice_reader import NoticeLine

SiteOf = Callable[[dict[str, bool]], AbstractContextManager[LabelledSite]]

MAILS = {"exfil": False, "scan": True}


def threats(incidents: list[NoticeLine]) -> Counter[str]:
    return Counter(incident.threat for incident in incidents)


def test_a_false_alarm_that_comes_again_is_gone_later_and_attacks_are_not(
    site_of: SiteOf,
    detection: Detection,
    logs: dict[str, Path],
    raised: list[NoticeLine],
    tmp_path: Path,
) -> None:
    assert threats(raised) == {"exfil": 12, "scan": 12, "malware": 12}
    with site_of(MAILS) as site:
        found = adapt(site, detection)
    assert found.promoted
    made = write_adapted(found, tmp_path / "bundle").bundle
    assert made is not None
    assert made.manifest.parent == detection.bundle.digest
    assert made.manifest.evaluation["adapted"]["kind"] == found.as_dict()["kind"]
    assert "Adapted to a site" in load_bundle(made.path).model_card
    for name, bundle in (("before", detection.bundle.path), ("after", made.path)):
        score(discover([logs["later"]]), ScoreJob(tmp_path / name, bundle=bundle))
    before, after = (threats(kept_incidents(out=tmp_path / n)) for n in ("before", "after"))
    assert before["exfil"] == before["scan"] == 3
    assert after["exfil"] == 0
    assert after["scan"] == 3


def test_the_decision_is_told_with_its_figures(site_of: SiteOf, detection: Detection) -> None:
    with site_of(MAILS) as site:
        told = adapt(site, detection).as_dict()
    assert {"promoted", "kind", "reasons", "old", "new"} <= set(told)
    assert told["old"]["false_raised"] == 12
    assert told["new"]["false_raised"] < 12
    assert told["new"]["true_lost"] == 0
    assert told["new"]["incidents"] < told["old"]["incidents"]
    for threat, recall in told["old"]["recall"].items():
        assert told["new"]["recall"][threat] >= recall - 0.02


def test_what_meets_a_floor_cannot_be_talked_away(site_of: SiteOf, detection: Detection) -> None:
    with site_of({"scan": False}) as site:
        found = adapt(site, detection)
    assert not found.promoted
    assert found.bundle is None


def test_labels_that_contradict_their_threats_change_nothing(
    site_of: SiteOf, detection: Detection
) -> None:
    # every other incident of the same kind is said to be true
    with site_of({"exfil": False}) as site:
        mixed = [replace(e, truth=bool(n % 2)) for n, e in enumerate(site.examples)]
        found = adapt(replace(site, examples=mixed), detection)
    assert not found.promoted
    assert any("labelled true would be missed" in reason for reason in found.reasons)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_few_labels_are_too_few(site_of: SiteOf, detection: Detection, count: int) -> None:
    with site_of({"exfil": False}) as site:
        found = adapt(replace(site, examples=site.examples[:count]), detection)
    assert not found.promoted
    assert "too few labels" in found.reasons[0]
    assert found.as_dict()["new"] is None


def test_without_logs_the_first_flows_tell(
    raised: list[NoticeLine], detection: Detection, labels: list[Label]
) -> None:
    found = adapt(site_as_kept(labels, raised, 0.01), detection)
    assert found.promoted
    assert found.as_dict()["kind"] == "rules"
    assert any("no logs were read" in warning for warning in found.warnings)
    assert found.gate.old.incidents == 36
    new = found.as_dict()["new"]["incidents"]
    assert new == 24


def test_without_a_reference_set_only_thresholds_are_tried(
    site_of: SiteOf, detection: Detection
) -> None:
    bare = replace(detection, bundle=replace(detection.bundle, reference_file=b""))
    with site_of(MAILS) as site:
        found = adapt(site, bare)
    assert {verdict.change.kind for verdict in found.verdicts} == {"thresholds"}
    assert any("no reference set" in warning for warning in found.warnings)


def test_labels_against_the_evidence_are_not_believed(
    site_of: SiteOf, detection: Detection
) -> None:
    with site_of({"exfil": False}) as site:
        denied = [replace(e, peak=0.995) for e in site.examples if not e.truth][:4]
        found = adapt(replace(site, denied=denied), detection)
    assert not found.promoted
    assert "the labels are not believed" in found.reasons[0]
    assert sum("its evidence is that of an attack" in warning for warning in found.warnings) == 4

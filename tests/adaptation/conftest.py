"""A site whose thresholds are too low, so that one host after the other raises the same alarm."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from zeekml.adaptation.labelled_site import LabelledSite, site_of_logs
from zeekml.adaptation.what_opens import Detection
from zeekml.batch.run import ScoreJob, score
from zeekml.config import Config
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.probability import evidence, log_odds, score_of
from zeekml.readers.files.discovery import discover
from zeekml.triage.kept_incidents import KeptIncident, kept_incidents
from zeekml.triage.labels import Label

SiteOf = Callable[[dict[str, bool]], AbstractContextManager[LabelledSite]]

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_logs" / "zeek_tsv" / "conn.log"
PRINTING = "10.20.1.26"  # sends jobs to printers
LOWERED = 4.0  # in log-odds of evidence
HOURS = 12
LATER = 3  # hours after those that are labelled


def rows_of(host: str) -> tuple[list[str], list[list[str]]]:
    lines = SAMPLE.read_text().splitlines(keepends=True)
    head = [line for line in lines if line.startswith("#") and not line.startswith("#close")]
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return head, [row for row in rows if host in (row[2], row[4])]


def write_site(path: Path, hours: range) -> None:
    """The hour of one host again and again, each time as another host."""
    head, rows = rows_of(PRINTING)
    first = float(rows[0][0])
    with path.open("w") as file:
        file.writelines(head)
        for hour in hours:
            for row in rows:
                told = list(row)
                told[0] = f"{first + 7200 * hour + float(row[0]) - first:.6f}"
                told[1] = f"C{hour}x{row[1]}"
                for end in (2, 4):
                    told[end] = row[end].replace(PRINTING, f"10.20.1.{100 + hour}")
                file.write("\t".join(told))


@pytest.fixture(scope="session")
def sensitive(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped bundle with thresholds far too low."""
    shipped = load_bundle()
    base_rate = shipped.manifest.calibration.base_rate

    def lowered(threshold: float) -> float:
        odds = log_odds(float(evidence(threshold, base_rate))) - LOWERED
        return float(score_of(1 / (1 + math.exp(-odds)), base_rate))

    thresholds = {t: lowered(v) for t, v in shipped.manifest.thresholds.items()}
    least = min(*thresholds.values(), shipped.manifest.candidate_score)
    new = replace(NewBundle.from_parent(shipped), thresholds=thresholds, candidate_score=least)
    return write_bundle(tmp_path_factory.mktemp("bundle") / "sensitive", new)


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Logs of the time that is labelled, and of the time after it."""
    folder = tmp_path_factory.mktemp("logs")
    parts = {"first": range(HOURS), "later": range(HOURS, HOURS + LATER)}
    for name, hours in parts.items():
        (folder / name).mkdir()
        write_site(folder / name / "conn.log", hours)
    return {name: folder / name for name in parts}


def scored(logs: Path, out: Path, bundle: Path) -> list[KeptIncident]:
    """What `zeekml score` raises."""
    score(discover([logs]), ScoreJob(out, bundle=bundle))
    return kept_incidents(out=out)


@pytest.fixture(scope="session")
def raised(
    logs: dict[str, Path], sensitive: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> list[KeptIncident]:
    """The incidents of the time that is labelled."""
    return scored(logs["first"], tmp_path_factory.mktemp("out") / "first", sensitive.path)


@pytest.fixture(scope="session")
def detection(sensitive: Bundle) -> Detection:
    """How the site's candidates are judged."""
    return Detection(sensitive, load_policy(), local_nets=tuple(Config().local_nets))


def labels_of(incidents: list[KeptIncident], truths: dict[str, bool]) -> list[Label]:
    """Labels for all incidents of some threats."""
    return [
        Label(i.id, truths[i.threat], "", "", "eve", 1.0, i.line.raw, evidence_of(i))
        for i in incidents
        if i.threat in truths
    ]


def evidence_of(incident: KeptIncident) -> bytes:
    return msgspec.json.encode(incident.line.evidence)


@pytest.fixture
def site_of(logs: dict[str, Path], raised: list[KeptIncident], detection: Detection) -> SiteOf:
    """Return a context with the site, its incidents labelled by their threats."""

    def made(truths: dict[str, bool]) -> AbstractContextManager[LabelledSite]:
        streams = discover([logs["first"]]).streams
        return site_of_logs(streams, labels_of(raised, truths), detection, Config())

    return made


@pytest.fixture
def labels(raised: list[KeptIncident]) -> list[Label]:
    """Labels that say of mails sent that they are false alarms."""
    return labels_of(raised, {"exfil": False})

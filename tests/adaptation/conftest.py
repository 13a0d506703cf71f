"""A site whose thresholds are too low, so that one host after the other raises the same alarm."""

from __future__ import annotations

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
from zeekml.ensemble.probability import evidence_odds, score_at
from zeekml.ensemble.reference_rows import ReferenceRows
from zeekml.readers.files.discovery import discover
from zeekml.triage.kept_incidents import kept_incidents
from zeekml.triage.labels import Label
from zeekml.triage.notice_reader import NoticeLine

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
def shipped() -> Bundle:
    """The bundle that comes with zeekml."""
    return load_bundle()


@pytest.fixture(scope="session")
def reference(shipped: Bundle) -> ReferenceRows:
    """Its reference set."""
    found = shipped.reference()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def sensitive(shipped: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped bundle with thresholds far too low."""
    base_rate = shipped.manifest.calibration.base_rate

    thresholds = {
        threat: score_at(evidence_odds(threshold, base_rate) - LOWERED, base_rate)
        for threat, threshold in shipped.manifest.thresholds.items()
    }
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


def scored(logs: Path, out: Path, bundle: Path) -> list[NoticeLine]:
    """What `zeekml score` raises."""
    score(discover([logs]), ScoreJob(out, bundle=bundle))
    return kept_incidents(out=out)


@pytest.fixture(scope="session")
def raised(
    logs: dict[str, Path], sensitive: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> list[NoticeLine]:
    """The incidents of the time that is labelled."""
    return scored(logs["first"], tmp_path_factory.mktemp("out") / "first", sensitive.path)


@pytest.fixture(scope="session")
def detection(sensitive: Bundle) -> Detection:
    """How the site's candidates are judged."""
    return Detection(sensitive, load_policy(), local_nets=tuple(Config().local_nets))


def labels_of(incidents: list[NoticeLine], truths: dict[str, bool]) -> list[Label]:
    """Labels for all incidents of some threats."""
    return [
        Label(i.id, truths[i.threat], "", "", "eve", 1.0, i.raw, evidence_of(i))
        for i in incidents
        if i.threat in truths
    ]


def evidence_of(incident: NoticeLine) -> bytes:
    return msgspec.json.encode(incident.evidence)


@pytest.fixture
def site_of(logs: dict[str, Path], raised: list[NoticeLine], detection: Detection) -> SiteOf:
    """Return a context with the site, its incidents labelled by their threats."""

    def made(truths: dict[str, bool]) -> AbstractContextManager[LabelledSite]:
        streams = discover([logs["first"]]).streams
        return site_of_logs(streams, labels_of(raised, truths), detection, Config())

    return made


@pytest.fixture
def labels(raised: list[NoticeLine]) -> list[Label]:
    """Labels that say of mails sent that they are false alarms."""
    return labels_of(raised, {"exfil": False})

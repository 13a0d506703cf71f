"""What a few labels bring on a network that a bundle was not trained on, and whether they do harm.

    python benchmarks/adapting.py NAME=DATASET --bundle DIR [--lower 1] [--labels 5 10] [--draws 10]
                                  [--mixed] [--shuffle] [--each] [--json]

DATASET is what `zeekml train` takes, and must not be among what the bundle learned from. Its
thresholds are lowered by `--lower` on the log-odds of evidence, so that there are false alarms to
label at all. The flows are parted where half of the false incidents have happened. In each draw so
many incidents of the first part get a label from the truth (false alarms alone, or with `--mixed`
whichever are drawn; with `--shuffle` the labels are exchanged at random), the bundle is adapted as
`zeekml adapt` does, and the second part is scored with what came of it. Incidents are true where
most of the flows that opened them are malicious. Printed are the medians and the worst over the
draws; with `--each`, also what every candidate would have done, passed or not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import markdown_table

from zeekml.adaptation.adapt import Adapted, adapt
from zeekml.adaptation.gate import Verdict
from zeekml.adaptation.labelled_site import site_of_logs
from zeekml.adaptation.what_opens import Detection
from zeekml.batch.run import ScoreJob, score
from zeekml.config import Config
from zeekml.datasets.read import collect
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.probability import evidence_odds, score_at
from zeekml.errors import ZeekmlError
from zeekml.readers.files.discovery import discover
from zeekml.triage.kept_incidents import kept_incidents
from zeekml.triage.labels import Label
from zeekml.triage.lookup import find_named
from zeekml.triage.notice_reader import NoticeLine

_APART: Final = 7200.0  # seconds between two recordings
_LEFT_OUT: Final = ("events", "source", "line", "community_id", "signatures", "sensor")


@dataclass(frozen=True)
class Raised:
    """Incidents of some time, and which of them are true."""

    incidents: list[NoticeLine]
    true: set[str]

    @property
    def counts(self) -> tuple[int, int]:
        """False and true ones."""
        return len(self.incidents) - len(self.true), len(self.true)


class Site:
    """A labelled network as one log, and a bundle with lower thresholds."""

    def __init__(self, dataset: str, bundle: Bundle, lower: float, work: Path) -> None:
        (environment,) = collect([dataset]).environments
        self.name, self._work = environment.name, work
        flows = environment.flows
        ts = flows.column("ts").to_numpy().copy()
        duration = np.nan_to_num(flows.column("duration").to_numpy(zero_copy_only=False))
        begin = 1.7e9
        for rows in environment.capture_slices():
            if rows.stop > rows.start:
                ts[rows] += begin - ts[rows].min()
                begin = float((ts[rows] + duration[rows]).max()) + _APART
        names = [f"U{number}" for number in range(len(ts))]
        self._labels = dict(zip(names, environment.labels.tolist(), strict=True))
        flows = flows.drop_columns([c for c in _LEFT_OUT if c in flows.column_names])
        for column, values in (("uid", pa.array(names)), ("ts", pa.array(ts))):
            flows = flows.set_column(flows.schema.get_field_index(column), column, values)
        self.bundle = _lowered(bundle, lower, work / "bundle")
        whole = self._raised("whole", flows, self.bundle.path)
        false = sorted(i.ts for i in whole.incidents if i.id not in whole.true)
        if len(false) < 4:
            raise ZeekmlError(f"{self.name}: {len(false)} false incidents; raise --lower")
        cut, ends = false[len(false) // 2], ts + duration
        self.first = self._raised("first", flows.filter(pa.array(ends < cut)), self.bundle.path)
        self._later = flows.filter(pa.array(ends >= cut))
        self.before = self.later(self.bundle.path)

    def later(self, bundle: Path) -> Raised:
        """What a bundle raises in the later part."""
        return self._raised("later", self._later, bundle)

    def draw(self, count: int, seed: int, *, mixed: bool, shuffle: bool) -> Adapted:
        """Label some incidents of the first part, and adapt."""
        rng = np.random.default_rng(seed)
        ids = sorted(i.id for i in self.first.incidents if mixed or i.id not in self.first.true)
        chosen = rng.permutation(ids)[:count].tolist()
        truths = np.array([name in self.first.true for name in chosen])
        if shuffle:
            both = bool(truths.any() and not truths.all())
            truths = rng.permutation(truths) if both else rng.random(len(truths)) < 0.5
        named = find_named(chosen, out=self._work / "first")
        labels = [
            Label(name, bool(truth), "", "", "", 0.0, named[name].line, named[name].evidence)
            for name, truth in zip(chosen, truths, strict=True)
        ]
        nets = tuple(Config().local_nets)
        detection = Detection(self.bundle, load_policy(), local_nets=nets)
        streams = discover([self._work / "first.parquet"]).streams
        with site_of_logs(streams, labels, detection, Config()) as site:
            return adapt(site, detection)

    def with_change(self, verdict: Verdict) -> Raised:
        """What the later part raises with a candidate."""
        place = self._work / "changed"
        write_bundle(place, verdict.change.new_bundle(self.bundle), overwrite=True)
        return self.later(place)

    def _raised(self, part: str, flows: pa.Table, bundle: Path) -> Raised:
        path, out = self._work / f"{part}.parquet", self._work / part
        pq.write_table(flows, path)
        score(discover([path]), ScoreJob(out, bundle=bundle))
        incidents = kept_incidents(out=out)
        true = set()
        for incident in incidents:
            related = incident.evidence.related if incident.evidence else []
            uids = [incident.uid, *(flow.uid for flow in related)]
            labels = [self._labels[uid] for uid in uids if uid]
            known = [label > 0 for label in labels if label >= 0]
            if known and np.mean(known) > 0.5:
                true.add(incident.id)
        return Raised(incidents, true)


def _lowered(bundle: Bundle, lower: float, place: Path) -> Bundle:
    base_rate = bundle.manifest.calibration.base_rate
    thresholds = {
        threat: score_at(evidence_odds(threshold, base_rate) - lower, base_rate)
        for threat, threshold in bundle.manifest.thresholds.items()
    }
    least = min(*thresholds.values(), bundle.manifest.candidate_score)
    new = replace(NewBundle.from_parent(bundle), thresholds=thresholds, candidate_score=least)
    return write_bundle(place, new)


def study(site: Site, counts: Sequence[int], options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each number of labels, and with ``--each`` for each candidate."""
    rows = []
    for count in counts:
        kinds: dict[str, int] = defaultdict(int)
        outcomes: dict[str, list[tuple[int, int]]] = defaultdict(list)
        passed: dict[str, int] = defaultdict(int)
        worst = 0.0
        for seed in range(options.draws):
            found = site.draw(count, seed, mixed=options.mixed, shuffle=options.shuffle)
            kinds[found.winner.change.kind if found.winner else "refused"] += 1
            after = site.before if found.winner is None else site.with_change(found.winner)
            outcomes["gate"].append(after.counts)
            if found.winner is not None:
                old, new = found.gate.old.recall, found.winner.figures.recall
                worst = max(worst, *(old[threat] - new[threat] for threat in old))
            for verdict in found.verdicts if options.each else ():
                if not verdict.change.empty:
                    outcomes[verdict.learner].append(site.with_change(verdict).counts)
                    passed[verdict.learner] += verdict.passed
        for name, values in outcomes.items():
            false, true = np.array(values).T
            rows.append(
                {
                    "network": site.name,
                    "labels": count,
                    "candidate": name,
                    "passed": passed[name] if name != "gate" else options.draws - kinds["refused"],
                    "draws": options.draws,
                    "kinds": dict(kinds) if name == "gate" else {},
                    "false_before": site.before.counts[0],
                    "false_median": float(np.median(false)),
                    "false_most": int(false.max()),
                    "true_before": site.before.counts[1],
                    "true_median": float(np.median(true)),
                    "true_least": int(true.min()),
                    "reference_lost_most": worst if name == "gate" else None,
                }
            )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", metavar="NAME=DATASET")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--lower", type=float, default=1.0)
    parser.add_argument("--labels", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--draws", type=int, default=10)
    for name in ("mixed", "shuffle", "each", "json"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    try:
        with TemporaryDirectory(prefix="zeekml-") as work:
            bundle = load_bundle(options.bundle)
            site = Site(options.dataset, bundle, options.lower, Path(work))
            rows = study(site, options.labels, options)
    except ZeekmlError as error:
        print(f"adapting.py: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    heads = ["network", "labels", "candidate", "passed", "false later", "true later"]
    told = [
        [
            row["network"],
            str(row["labels"]),
            row["candidate"],
            f"{row['passed']} of {row['draws']}",
            f"{row['false_before']} → {row['false_median']:g} (worst {row['false_most']})",
            f"{row['true_before']} → {row['true_median']:g} (worst {row['true_least']})",
        ]
        for row in rows
    ]
    print(markdown_table(heads, told))
    return 0


if __name__ == "__main__":
    sys.exit(main())

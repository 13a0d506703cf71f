"""Thresholds from a site's own logs: what is announced is what `zeekml score` then writes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.batch.run import ScoreJob, score
from zeekml.calibration.calibrate import CAUTIOUS, Calibrated, calibrate, choose
from zeekml.calibration.notice_volume import (
    HIGHEST,
    LOWEST,
    Days,
    Volume,
    shifted,
    shifts,
    volume_at,
)
from zeekml.calibration.site_traffic import DAY, Traffic, _Sample
from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY, parse_allowlist
from zeekml.detection.flow_rules import rule_in
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.probability import evidence
from zeekml.errors import DataError, OutputError
from zeekml.readers.files.discovery import discover
from zeekml.readers.rejects import ReadCounters

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_logs" / "zeek_tsv"
DAYS = 3


def sample_lines() -> tuple[list[bytes], list[list[bytes]]]:
    (path,) = SAMPLE.iterdir()
    data = path.read_bytes()
    data = gzip.decompress(data) if path.suffix == ".gz" else data
    lines = data.splitlines(keepends=True)
    head = [line for line in lines if line.startswith(b"#") and not line.startswith(b"#close")]
    return head, [line.split(b"\t") for line in lines if not line.startswith(b"#")]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first records of the sample log on three days, with a flow in each other hour."""
    head, rows = sample_lines()
    rows = rows[:2500]
    first = float(rows[0][0])
    begin = first // DAY * DAY
    out = []
    for day in range(DAYS):
        at = begin + day * DAY
        for row in rows:
            out.append([b"%.6f" % (float(row[0]) - first + at + 3600), *row[1:]])
        for hour in (0, *range(3, 24)):
            ts = b"%.6f" % (at + hour * 3600 + 1800)
            out.append([ts, b"Cq%d%d" % (day, hour), *rows[0][2:]])
    out.sort(key=lambda row: float(row[0]))
    path = tmp_path_factory.mktemp("site") / "conn.log"
    path.write_bytes(b"".join([*head, *(b"\t".join(row) for row in out)]))
    return path


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle()


Run = Callable[..., Calibrated]


@pytest.fixture
def run(logs: Path, bundle: Bundle, tmp_path: Path) -> Run:
    def made(budget: float, name: str = "new", path: Path = logs, **options: Any) -> Calibrated:
        values: dict[str, Any] = {
            "notices_per_day": budget,
            "bundle": bundle,
            "policy": load_policy(),
            "allowlist": EMPTY,
            "config": Config(),
        }
        return calibrate(discover([path]).streams, tmp_path / name, **values | options)

    return made


def openings(bundle: Path, log: Path, out: Path) -> Counter[tuple[int, str]]:
    score(discover([log]), ScoreJob(out=out, bundle=bundle))
    lines = [json.loads(line) for line in (out / "notice.log").read_text().splitlines()]
    return Counter(
        (int(n["ts"] // DAY), n["zeekml_threat"]) for n in lines if n["zeekml_state"] == "open"
    )


def test_what_is_announced_is_what_is_written(run: Run, logs: Path, tmp_path: Path) -> None:
    found = run(6.0)
    assert found.within
    assert 0 < found.chosen.total < found.curve[-1].total
    assert openings(found.bundle.path, logs, tmp_path / "out") == found.chosen.opened
    per_day = found.days.per_day(found.chosen)
    assert per_day <= 6.0
    low, high = found.days.interval(found.chosen)
    assert 0 <= low < per_day < high
    # the bundle tells where it comes from, and what is usual where
    manifest = found.bundle.manifest
    assert manifest.parent == found.parent.digest
    assert manifest.usual_source == "site"
    assert manifest.evaluation["site"]["expected_per_day"] == per_day
    assert "## Calibrated for a site" in found.bundle.model_card
    assert found.bundle.models == found.parent.models
    why = json.loads((tmp_path / "out" / "notice.log").read_text().splitlines()[0])["zeekml_why"]
    assert all("(usual here " in reason for reason in why if reason != rule_in(why))
    # without a shift, it is as it was
    assert openings(found.parent.path, logs, tmp_path / "before") == found.before.opened


def test_a_larger_budget_gives_no_fewer_notices(run: Run) -> None:
    totals = [run(budget, f"b{n}").chosen.total for n, budget in enumerate((2.5, 6.0, 60.0))]
    assert totals == sorted(totals)
    assert totals[0] < totals[-1]


def test_on_one_short_day_thresholds_hardly_move(
    run: Run, logs: Path, tmp_path: Path, bundle: Bundle
) -> None:
    log = tmp_path / "short" / "conn.log"
    log.parent.mkdir()
    log.write_bytes(b"".join(logs.read_bytes().splitlines(keepends=True)[:2000]))
    strict, lenient = run(0.5, "strict", log), run(1e5, "lenient", log)
    assert strict.chosen.shift == CAUTIOUS
    assert lenient.chosen.shift == 0.0
    assert lenient.bundle.manifest.thresholds == bundle.manifest.thresholds
    assert "days of traffic were seen" in strict.warnings()[0]


def test_known_flows_do_not_use_up_the_budget(run: Run) -> None:
    plain = run(2.0, "plain")
    (host, _), *_ = plain.before.hosts.most_common(1)
    entry = f"version: 1\nentries: [{{cidr: {host}, reason: a, owner: b, expiry: never}}]\n"
    known = parse_allowlist(entry.encode(), now=0.0)
    found = run(2.0, "known", allowlist=known)
    assert found.before.total < plain.before.total
    assert host not in found.before.hosts


def test_nothing_to_score(run: Run, tmp_path: Path) -> None:
    empty = tmp_path / "conn.log"
    empty.write_bytes(b"".join(sample_lines()[0]))
    with pytest.raises(DataError, match="nothing could be scored: there is no record"):
        run(5.0, path=empty)
    assert not (tmp_path / "new").exists()


def test_an_interrupted_run_leaves_nothing(run: Run, tmp_path: Path) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(5.0, trying=stop)
    assert list(tmp_path.iterdir()) == []
    found = run(5.0)
    with pytest.raises(OutputError, match="exists already"):
        run(5.0)
    again = run(5.0, overwrite=True)
    assert again.bundle.digest == found.bundle.digest


def volume(shift: float, by_day: list[int]) -> Volume:
    opened = Counter({(day, "scan"): count for day, count in enumerate(by_day)})
    return Volume(shift, {}, opened, Counter())


def test_a_day_full_of_attacks_does_not_raise_thresholds() -> None:
    days = Days(dict.fromkeys(range(6), 24))
    curve = [
        volume(1.0, [1, 0, 2, 1, 900, 1]),
        volume(0.0, [4, 3, 6, 5, 900, 4]),
        volume(-1.0, [9, 8, 12, 9, 900, 9]),
    ]
    chosen, within = choose(curve, days, 5.0)
    assert (chosen.shift, within) == (0.0, True)
    assert days.per_day(chosen) == pytest.approx((4 + 3 + 6 + 5 + 4) / 5)
    # but it does show in how sure one can be
    low, high = days.interval(chosen)
    assert low == 0.0
    assert high > 50


def test_the_first_thresholds_over_the_budget_end_the_search() -> None:
    days = Days(dict.fromkeys(range(4), 24))
    curve = [volume(1.0, [1] * 4), volume(0.0, [9] * 4), volume(-1.0, [2] * 4)]
    assert choose(curve, days, 5.0) == (curve[0], True)
    assert choose(curve, days, 0.5) == (curve[0], False)


def test_days_count_by_the_hours_that_were_seen() -> None:
    hours = Counter(dict.fromkeys([*range(12), 24, 25, *range(48, 72)], 10))
    days = Days.of(Traffic([], hours, ReadCounters(), {}))
    assert days.hours == {0: 12, 1: 2, 2: 24}
    assert days.observed == pytest.approx(38 / 24)
    # two hours are no day
    assert days.rates(volume(0.0, [3, 5, 4])) == [6.0, 4.0]
    assert days.per_day(volume(0.0, [3, 5, 4])) == 5.0
    assert Days({0: 3}).per_day(volume(0.0, [2])) == 16.0
    assert Days({}).per_day(volume(0.0, [])) == 0.0
    assert Days({}).interval(volume(0.0, [])) == (0.0, np.inf)


def test_the_interval_of_a_rate() -> None:
    # Garwood's for 10 events in 5 days: 4.795 to 18.39 events
    low, high = Days(dict.fromkeys(range(4), 30)).interval(volume(0.0, [2, 3, 2, 3]))
    assert [low, high] == pytest.approx([4.795 / 5, 18.39 / 5], rel=1e-3)


def test_thresholds_stay_within_bounds(bundle: Bundle) -> None:
    rate = bundle.manifest.calibration.base_rate
    tried = shifts(bundle)
    assert 0.0 in tried
    assert tried == sorted(tried, reverse=True)
    before = bundle.manifest.thresholds
    assert shifted(bundle, 0.0) == before
    for shift in tried:
        for threat, threshold in shifted(bundle, shift).items():
            strength, old = (float(evidence(t, rate)) for t in (threshold, before[threat]))
            assert min(LOWEST, old) - 1e-4 <= strength <= max(HIGHEST, old) + 1e-4
            assert (threshold >= before[threat]) if shift > 0 else (threshold <= before[threat])
    strictest = shifted(bundle, tried[0]).values()
    assert all(evidence(threshold, rate) >= HIGHEST - 1e-3 for threshold in strictest)


def test_a_sample_is_even_and_bounded() -> None:
    sample = _Sample(1000, np.random.default_rng(1))
    for start in range(0, 100_000, 500):
        rows = np.zeros((500, 137), np.float32)
        rows = np.repeat(np.arange(start, start + 500, dtype=np.float32)[:, None], 1, axis=1)
        sample.add(rows)
    kept = np.concatenate(sample._parts)[:, 0]
    assert 500 <= len(kept) <= 1000
    assert abs(kept.mean() - 50_000) < 5_000


def test_fixed_thresholds_of_the_policy_stay(run: Run) -> None:
    policy = load_policy()
    fixed = replace(
        policy, detectors=tuple(replace(d, threshold=0.999999) for d in policy.detectors)
    )
    found = run(5.0, policy=fixed)
    assert {v.total for v in found.curve} == {found.before.total}


def test_a_policy_without_detectors(bundle: Bundle) -> None:
    policy = load_policy()
    off = replace(policy, detectors=tuple(replace(d, enabled=False) for d in policy.detectors))
    nothing = Traffic([], Counter(), ReadCounters(), {})
    assert volume_at(nothing, bundle, off, EMPTY, (), 0.0).total == 0

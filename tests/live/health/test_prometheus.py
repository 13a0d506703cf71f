from __future__ import annotations

import math
import os
import re
import stat
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from watch_figures import BOTH, FIGURES, NOW, shown, stream

from zeekml._version import __version__
from zeekml.detection.notice import NOTES
from zeekml.errors import OutputError
from zeekml.live.health.prometheus import check_metrics_file, write_metrics
from zeekml.live.stream import SHED
from zeekml.live.tail.events import Cause

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(data: bytes) -> tuple[Samples, dict[str, str]]:
    assert data.endswith(b"\n")
    samples: Samples = {}
    types = {}
    for family in text_string_to_metric_families(data.decode()):
        assert family.documentation
        for sample in family.samples:
            types[sample.name] = family.type
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples
            assert sample.timestamp is None
            samples[key] = sample.value
    return samples, types


def test_names_types_and_values() -> None:
    samples, types = parsed(shown(*BOTH))
    counters = {name for name, kind in types.items() if kind == "counter"}
    assert counters == {name for name in types if name.endswith("_total")}
    assert set(types.values()) == {"counter", "gauge"}
    conn = {
        (
            name.removeprefix("zeekml_"),
            *(text for label, text in labels if label != "stream"),
            value,
        )
        for (name, labels), value in samples.items()
        if ("stream", "conn") in labels
        # of these every kind has a sample from the start on
        if not (name in ("zeekml_notices_total", "zeekml_gaps_total") and value == 0)
    }
    assert conn == {
        ("records_read_total", 120),
        ("records_scored_total", 100),
        ("records_rejected_total", "bad_json", 3),
        ("records_rejected_total", "truncated", 1),
        ("records_skipped_total", "dns", 16),
        ("values_unknown_total", "duration", 2),
        ("sides_known_total", 90),
        ("with_events_total", 40),
        ("one_sided_total", 12),
        ("lag_seconds", 1.25),
        ("bytes_behind", 4096),
        ("rotations_total", "rotated", 2),
        ("gaps_total", "vanished", 1),
        ("notices_total", "ZeekML::Scan", 4),
        ("suppressed_total", 5),
        ("silenced_total", 6),
        ("open_incidents", 6),
        ("context_records", 7),
        ("late_total", 8),
        ("shed_total", 9),
        ("records_skipped_total", SHED, 9),
        ("last_record_timestamp_seconds", 1795430487.5),
    }
    labels = {name: {key for key, _ in labels} - {"stream"} for name, labels in samples}
    assert {name: keys for name, keys in labels.items() if keys} == {
        "zeekml_records_rejected_total": {"reason"},
        "zeekml_records_skipped_total": {"type"},
        "zeekml_values_unknown_total": {"column"},
        "zeekml_rotations_total": {"how"},
        "zeekml_gaps_total": {"cause"},
        "zeekml_notices_total": {"note"},
        "zeekml_bundle_info": {"sha256", "name", "version"},
    }
    assert samples["zeekml_state_commits_total", frozenset()] == 11
    assert samples["zeekml_up", frozenset()] == 1
    assert samples["zeekml_updated_timestamp_seconds", frozenset()] == NOW
    bundle = {("sha256", "0123abcd"), ("name", "default"), ("version", __version__)}
    assert samples["zeekml_bundle_info", frozenset(bundle)] == 1


def test_what_happens_rarely_is_there_before_it_happens() -> None:
    samples, _ = parsed(shown(*BOTH))
    for name, label, kinds in (
        ("zeekml_notices_total", "note", set(NOTES.values())),
        ("zeekml_gaps_total", "cause", set(Cause)),
    ):
        of_eve = {
            dict(labels)[label]: value
            for (metric, labels), value in samples.items()
            if metric == name and ("stream", "eve") in labels
        }
        assert of_eve == dict.fromkeys(kinds, 0)


def test_what_is_not_known_is_left_out() -> None:
    samples, _ = parsed(shown(*BOTH))
    eve = {name for name, labels in samples if ("stream", "eve") in labels}
    assert "zeekml_records_read_total" in eve
    assert not {"zeekml_lag_seconds", "zeekml_last_record_timestamp_seconds"} & eve


def test_what_a_linter_of_metrics_looks_for() -> None:
    """The rules of `promtool check metrics`, and of its parser."""
    told: dict[str, set[str]] = {}
    order = []
    for line in shown(*BOTH).decode().splitlines():
        if line.startswith("#"):
            _, word, name, text = line.split(" ", 3)
            assert word not in told.setdefault(name, set())
            assert word in ("HELP", "TYPE") and text.strip()
            told[name].add(word)
        else:
            name = re.split(r"[{ ]", line, maxsplit=1)[0]
            order.append(name)
            # both stand before the first sample
            assert told[name] == {"HELP", "TYPE"}
    # the samples of a name stand together
    assert [name for name, _ in groupby(order)] == list(dict.fromkeys(order))
    assert set(order) == set(told)
    for name in order:
        assert re.fullmatch(r"zeekml_[a-z]+(_[a-z0-9]+)*", name)
        # base units alone, and no type in a name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|megabytes|counter|gauge)(_|$)", name)


def test_no_streams_and_the_end() -> None:
    samples, _ = parsed(shown(up=False))
    assert {name for name, _ in samples} == {
        "zeekml_state_commits_total",
        "zeekml_up",
        "zeekml_updated_timestamp_seconds",
        "zeekml_bundle_info",
    }
    assert samples["zeekml_up", frozenset()] == 0


def test_every_figure_has_its_place() -> None:
    """Each one, when it alone changes, changes exactly its own samples."""
    before = parsed(shown(*BOTH))[0]
    for figure, value in FIGURES.items():
        for key in value if isinstance(value, dict) else [""]:
            more = {**value, key: value[key] + 1} if key else value + 1
            after = parsed(shown(stream("conn", **{**FIGURES, figure: more}), BOTH[1]))[0]
            changed = {at for at, n in after.items() if before[at] != n}
            names = {name for name, _ in changed}
            if key == SHED:
                # they are skipped, too
                assert names == {"zeekml_shed_total", "zeekml_records_skipped_total"}
                continue
            assert len(changed) == 1
            assert figure in names.pop()


@settings(max_examples=150, derandomize=True)
@given(name=st.text(min_size=1), kind=st.text(), value=st.integers(0, 2**53))
def test_any_text_stays_in_its_label(name: str, kind: str, value: int) -> None:
    data = shown(stream(name, skipped={kind: value}))
    assert data.decode().replace("\n", "").isprintable()
    samples, _ = parsed(data)
    found = [v for (metric, _), v in samples.items() if metric == "zeekml_records_skipped_total"]
    assert found == [value]


def test_two_labels_that_look_alike_are_one_sample() -> None:
    samples, _ = parsed(shown(stream("s", skipped={"\x1b": 2, "\\x1b": 3})))
    key = frozenset({("stream", "s"), ("type", "\\x1b")})
    assert samples["zeekml_records_skipped_total", key] == 5


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300, 0.1])
def test_numbers(value: float) -> None:
    samples, _ = parsed(shown(stream("s", lag_seconds=value)))
    assert samples["zeekml_lag_seconds", frozenset({("stream", "s")})] == value


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "zeekml.prom"
    before = os.umask(0o077)
    try:
        write_metrics(path, shown())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with path.open("rb") as reader:
        write_metrics(path, shown(commits=12))
        assert b"zeekml_state_commits_total 11.0\n" in reader.read()
    assert b"zeekml_state_commits_total 12.0\n" in path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_what_lies_beside_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    (tmp_path / ".zeekml.prom.new").symlink_to(victim)
    write_metrics(tmp_path / "zeekml.prom", shown())
    assert victim.read_bytes() == b"untouched"
    assert not (tmp_path / "zeekml.prom").is_symlink()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "zeekml.prom").mkdir()
    for path in (tmp_path / "zeekml.prom", tmp_path / "none/zeekml.prom"):
        with pytest.raises(OutputError, match=r"zeekml\.prom: cannot write: "):
            write_metrics(path, shown())
    assert [entry.name for entry in tmp_path.iterdir()] == ["zeekml.prom"]


def test_a_slip_in_the_configuration_costs_no_file(tmp_path: Path) -> None:
    path, notices = tmp_path / "zeekml.prom", tmp_path / "notice.log"
    check_metrics_file(path, [notices])
    write_metrics(path, shown(*BOTH))
    check_metrics_file(path, [notices])
    path.write_bytes(b"")
    check_metrics_file(path, [notices])
    path.write_bytes(b"#fields\tts\n")
    for wrong, reason in ((path, "no figures"), (notices, "notices"), (tmp_path, "no regular")):
        with pytest.raises(OutputError, match=f"{reason}.*choose another metrics_file"):
            check_metrics_file(wrong, [tmp_path / "x" / ".." / "notice.log"])

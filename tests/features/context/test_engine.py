"""The context engine against a slow, plain re-statement of what its columns mean."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.features.addresses import HostClassifier
from zeekml.features.context.engine import MAX_RECORDS, ContextEngine
from zeekml.features.extractor import FeatureExtractor, feature_matrix
from zeekml.features.feature_schema import (
    CONTACTS,
    FEATURE_INDEX,
    FEATURES,
    LOOKUPS,
    MOST_RECORDS,
    REGULAR_FROM,
    WINDOWS,
)
from zeekml.features.flow_features import LEAST_PACKET, flow_columns
from zeekml.readers.flow_schema import FLOW_SCHEMA

HOUR = WINDOWS[-1]


def flow_batch(records: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    rows = [
        {
            "proto": "tcp",
            "sensor": "zeek",
            "source": "conn.log",
            "line": i + 1,
            **record,
        }
        for i, record in enumerate(records)
    ]
    table = pa.Table.from_pylist(rows, schema=FLOW_SCHEMA)
    return table.combine_chunks().to_batches()[0]


def record(
    ts: float,
    src: str,
    dst: str,
    port: int = 80,
    *,
    proto: str = "tcp",
    duration: float = 0.0,
    sent: int = 100,
    received: int = 200,
    service: str | None = None,
) -> dict[str, Any]:
    header = 40 if proto == "tcp" else 28
    return {
        "ts": ts,
        "id.orig_h": src,
        "id.resp_h": dst,
        "id.resp_p": port,
        "proto": proto,
        "duration": duration or None,
        "service": service,
        "conn_state": "SF" if received else "S0",
        "orig_pkts": 1,
        "resp_pkts": 1 if received else 0,
        "orig_ip_bytes": header + sent,
        "resp_ip_bytes": header + received if received else 0,
    }


class Oracle:
    """Keeps every record and counts anew for each row."""

    def __init__(self, bound: int | None = None) -> None:
        self.bound = bound
        self.rows: list[dict[str, Any]] = []
        self.clock = -math.inf
        self.began = 0.0
        self.ahead = 0

    def features(self, r: dict[str, Any]) -> dict[str, float]:
        end = r["ts"] + (r["duration"] or 0.0)
        if not self.rows or (len(self.rows) < 3 and end < self.clock - HOUR):
            for old in self.rows:
                old["arrival"] = -math.inf
            self.clock = self.began = end
            self.ahead = 0
        elif end > self.clock + 300:
            self.ahead += 1
            if self.ahead == 3:
                self.clock, self.ahead = end, 0
        else:
            self.ahead = 0
            self.clock = max(self.clock, end)
        row = {
            "arrival": self.clock,
            "ts": r["ts"],
            "src": r["id.orig_h"],
            "dst": r["id.resp_h"],
            "port": (r["proto"], r["id.resp_p"]),
            "failed": r["resp_pkts"] == 0,
            "sent": max(r["orig_ip_bytes"] - LEAST_PACKET * r["orig_pkts"], 0),
            "got": max(r["resp_ip_bytes"] - LEAST_PACKET * r["resp_pkts"], 0),
            "lookup": r["service"] == "dns" or r["id.resp_p"] == 53,
            "misdated": not 0 <= self.clock - end <= HOUR,
        }
        self.rows.append(row)
        live = [x for x in self.rows if x["arrival"] > self.clock - HOUR]
        live = live if self.bound is None else live[-self.bound :]
        ends = row["src"], row["dst"]
        of_pair = [x for x in live if (x["src"], x["dst"]) == ends]
        firsts_of_contacts = {id(flows[0]) for flows in self.contacts(of_pair)}
        first_of_pair: dict[tuple[str, str], Any] = {}
        for x in live:
            first_of_pair.setdefault((x["src"], x["dst"]), x)
        f: dict[str, float] = {}
        for w in WINDOWS:
            inside = [x for x in live if x["arrival"] > self.clock - w]
            out = [x for x in inside if x["src"] == row["src"]]
            into = [x for x in inside if x["dst"] == row["dst"]]
            pair = [x for x in out if x["dst"] == row["dst"]]
            of_service = [x for x in into if x["port"] == row["port"]]
            hosts = {x["dst"] for x in out}
            f[f"src{w}_flows"] = len(out)
            f[f"src{w}_failed"] = share(out)
            f[f"src{w}_hosts"] = len(hosts)
            f[f"src{w}_ports"] = len({x["port"] for x in out})
            f[f"src{w}_host_spread"] = len(hosts) / len(out)
            f[f"src{w}_port_spread"] = len({x["port"] for x in out}) / len(out)
            if w != HOUR:
                firsts = [x for x in out if first_of_pair[x["src"], x["dst"]] is x]
                f[f"src{w}_first_contacts"] = len(firsts) / len(out)
            sources = {x["src"] for x in into}
            f[f"dst{w}_flows"] = len(into)
            f[f"dst{w}_failed"] = share(into)
            f[f"dst{w}_hosts"] = len(sources)
            f[f"dst{w}_ports"] = len({x["port"] for x in into})
            f[f"dst{w}_host_spread"] = len(sources) / len(into)
            f[f"dst{w}_bytes"] = sum(x["sent"] for x in into)
            f[f"pair{w}_flows"] = len(pair)
            f[f"pair{w}_failed"] = share(pair)
            f[f"pair{w}_ports"] = len({x["port"] for x in pair})
            sizes = {round(math.log2(1 + x["got"]) * 4) for x in pair}
            meetings = max(sum(id(x) in firsts_of_contacts for x in pair), 1)
            f[f"pair{w}_answers"] = min(len(sizes), meetings) / meetings
            f[f"pair{w}_contacts"] = meetings
            f[f"pair{w}_share"] = len(pair) / len(out)
            f[f"dport{w}_flows"] = len(of_service)
            f[f"dport{w}_failed"] = share(of_service)
            f[f"dport{w}_hosts"] = len({x["src"] for x in of_service})
            f[f"window{w}_seen"] = min((self.clock - self.began) / w, 1.0)
        # of each contact, the flow that came last stands for it
        at_port = [x for x in of_pair if x["port"] == row["port"]]
        contacts = [flows[-1] for flows in self.contacts(at_port)]
        f.update(self.series("contact", contacts, CONTACTS))
        f["contact_regular"] = float(len(contacts) >= REGULAR_FROM)
        lookups = [x for x in live if x["src"] == row["src"] and x["lookup"]]
        f["lookup"] = float(row["lookup"])
        if row["lookup"]:
            f.update(self.series("lookup", lookups, LOOKUPS))
        f["pair_new"] = float(first_of_pair[row["src"], row["dst"]] is row)
        f["src_indegree"] = len({x["src"] for x in live if x["dst"] == row["src"]})
        f["dst_popularity"] = len({x["src"] for x in live if x["dst"] == row["dst"]}) / len(
            {x["src"] for x in live}
        )
        f["dst_age"] = self.clock - min(x["arrival"] for x in live if x["dst"] == row["dst"])
        f["port_share"] = sum(x["port"] == row["port"] for x in live) / len(live)
        return f

    @staticmethod
    def contacts(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        """Flows of two hosts, or to one port, in order of arrival: those of one second together."""
        found: list[list[dict[str, Any]]] = []
        for x in rows:
            if found and second_of(found[-1][-1]) == second_of(x):
                found[-1].append(x)
            else:
                found.append([x])
        return found

    @staticmethod
    def series(prefix: str, rows: list[dict[str, Any]], longest: int) -> dict[str, float]:
        last = rows[-longest:]
        sent = [math.log1p(x["sent"]) for x in last]
        got = [math.log1p(x["got"]) for x in last]
        f = {
            f"{prefix}_flows": len(rows),
            f"{prefix}_orig_mean": statistics.fmean(sent),
            f"{prefix}_orig_sd": statistics.pstdev(sent),
            f"{prefix}_resp_mean": statistics.fmean(got),
            f"{prefix}_resp_sd": statistics.pstdev(got),
            f"{prefix}_failed": share(last),
            f"{prefix}_orig_kinds": len(set(sent)) / len(last),
            f"{prefix}_resp_kinds": len(set(got)) / len(last),
        }
        if len(last) >= REGULAR_FROM:
            times = [last[-1]["ts"]]
            for x in last[-2::-1]:
                # a time that cannot be right counts as that of the record after
                times.append(times[-1] if x["misdated"] else x["ts"])
            times.sort()
            gaps = [b - a for a, b in pairwise(times)]
            median = statistics.median(gaps)
            deviation = statistics.median([abs(g - median) for g in gaps])
            f[f"{prefix}_interval"] = median
            f[f"{prefix}_jitter"] = min(deviation / (median + 0.01), 6.0)
            cv = statistics.pstdev(gaps) / (statistics.fmean(gaps) + 0.01)
            f[f"{prefix}_interval_cv"] = min(cv, 6.0)
        return f


def second_of(row: dict[str, Any]) -> int:
    return math.floor(row["arrival"] if row["misdated"] else row["ts"])


def share(rows: list[dict[str, Any]]) -> float:
    return sum(x["failed"] for x in rows) / len(rows)


hosts = st.sampled_from([f"10.0.0.{i}" for i in range(1, 6)])
records = st.lists(
    st.builds(
        record,
        # steps that cross each window, stay inside it, and land exactly on its edge
        st.sampled_from([0.0, 0.5, 1.0, 59.0, 60.0, 61.0, 600.0, 1200.0, 3600.0, -30.0, 9000.0]),
        hosts,
        hosts,
        st.sampled_from([22, 53, 80]),
        proto=st.sampled_from(["tcp", "udp"]),
        duration=st.sampled_from([0.0, 0.25, 40.0]),
        sent=st.sampled_from([0, 10, 1000]),
        received=st.sampled_from([0, 30, 5000]),
    ),
    min_size=1,
    max_size=60,
)


def as_stream(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    now, stream = 1_700_000_000.0, []
    for step in steps:
        now += step["ts"]
        stream.append({**step, "ts": now})
    return stream


@settings(max_examples=150)
@given(records)
def test_every_context_column_means_what_the_oracle_says(steps: list[dict[str, Any]]) -> None:
    check_all(as_stream(steps))


def check_all(stream: list[dict[str, Any]], bound: int | None = None) -> None:
    """Compare the context columns of all rows with the oracle's."""
    matrix = feature_matrix([flow_batch(stream)], max_records=bound or MAX_RECORDS)
    oracle = Oracle(bound)
    for row, flow in zip(matrix, stream, strict=True):
        expected = oracle.features(flow)
        for name, value in expected.items():
            feature = FEATURES[FEATURE_INDEX[name]]
            assert row[FEATURE_INDEX[name]] == pytest.approx(
                feature.stored(value), rel=1e-5, abs=1e-6
            ), name
        for name in ("contact_interval", "lookup_interval", "lookup_flows"):
            if name not in expected:
                assert math.isnan(row[FEATURE_INDEX[name]]), name


@settings(max_examples=40, derandomize=True)
@given(records, st.integers(1, 20))
def test_a_full_context_forgets_the_oldest_first(steps: list[dict[str, Any]], bound: int) -> None:
    check_all(as_stream(steps), bound)


def test_counts_beyond_those_of_a_small_row() -> None:
    """Hundreds of flows in the hour, gigabytes and long flows; then they leave again."""
    rng = np.random.default_rng(5)
    busy = [
        record(
            1_700_000_000.0 + i * (4.0 if i < 700 else 30.0),
            f"10.0.0.{rng.choice([1, 1, 1, 1, 2])}",
            f"10.0.0.{rng.choice([2, 3, 3, 3, 3, 3])}",
            int(rng.choice([53, 80, 80, 80])),
            duration=float(rng.choice([0.0, 3.5, 40_000.0, 9e8])),
            sent=int(rng.choice([0, 100, 2**31, 2**39])),
            received=int(rng.choice([0, 50, 700, 2**40])),
        )
        for i in range(900)
    ]
    for flow in busy:  # the clock runs over their ends
        flow["ts"] -= flow["duration"] or 0.0
        flow["ts"] = max(flow["ts"], 0.0)
    check_all(busy)


@settings(max_examples=60)
@given(records, st.lists(st.integers(1, 7), min_size=1, max_size=60))
def test_cuts_change_no_bit(steps: list[dict[str, Any]], cuts: list[int]) -> None:
    batch = flow_batch(as_stream(steps))
    whole = feature_matrix([batch])
    extractor = FeatureExtractor()
    parts, at = [], 0
    for cut in [*cuts, batch.num_rows]:
        if at < batch.num_rows:
            parts.append(extractor.transform(batch.slice(at, cut)).matrix)
            at += cut
    np.testing.assert_array_equal(np.concatenate(parts).view(np.int32), whole.view(np.int32))


@settings(max_examples=40)
@given(records, st.integers(-10_000_000, 10_000_000))
def test_shifting_all_times_and_renumbering_hosts_changes_no_bit(
    steps: list[dict[str, Any]], shift: int
) -> None:
    stream = as_stream(steps)
    moved = [
        {
            **r,
            "ts": r["ts"] + shift,
            "id.orig_h": r["id.orig_h"].replace("10.0.0.", "192.168.77.1"),
            "id.resp_h": r["id.resp_h"].replace("10.0.0.", "192.168.77.1"),
        }
        for r in stream
    ]
    np.testing.assert_array_equal(
        feature_matrix([flow_batch(stream)]).view(np.int32),
        feature_matrix([flow_batch(moved)]).view(np.int32),
    )


def test_a_slice_is_exact_after_a_warm_up_over_the_hour() -> None:
    rng = np.random.default_rng(3)
    stream = [
        record(
            1_700_000_000.0 + t,
            f"10.0.0.{rng.integers(1, 9)}",
            f"10.0.1.{rng.integers(1, 9)}",
            int(rng.choice([22, 53, 80])),
            sent=int(rng.integers(0, 2000)),
            received=int(rng.choice([0, 50, 700])),
        )
        for t in np.sort(rng.uniform(0, 4 * HOUR, 3000))
    ]
    whole = feature_matrix([flow_batch(stream)])
    cut = 2000
    warm_from = next(i for i, r in enumerate(stream) if r["ts"] > stream[cut]["ts"] - HOUR - 301)
    warmed = feature_matrix([flow_batch(stream[warm_from:])])[cut - warm_from :]
    np.testing.assert_array_equal(warmed.view(np.int32), whole[cut:].view(np.int32))


def test_one_far_time_stamp_moves_nothing_but_three_in_a_row_do() -> None:
    near = [record(1_000.0 + i, "10.0.0.1", "10.0.0.2") for i in range(5)]
    far = [record(4_000_000_000.0 + i, "10.0.0.1", "10.0.0.2") for i in range(3)]
    extractor = FeatureExtractor()
    once = extractor.transform(flow_batch([*near, far[0], record(1_006.0, "10.0.0.1", "10.0.0.2")]))
    assert once.clock[-2:].tolist() == [1_004.0, 1_006.0]
    assert once.matrix[-1, FEATURE_INDEX["src60_flows"]] == pytest.approx(math.log1p(7))
    thrice = extractor.transform(flow_batch(far))
    assert thrice.clock.tolist() == [1_006.0, 1_006.0, 4_000_000_002.0]
    assert thrice.matrix[-1, FEATURE_INDEX["src60_flows"]] == pytest.approx(math.log1p(1))


def test_a_damaged_first_record_does_not_hold_the_clock() -> None:
    stream = [record(4_000_000_000.0, "10.0.0.1", "10.0.0.2")]
    stream += [record(1_000.0 + i, "10.0.0.1", "10.0.0.2") for i in range(100)]
    batch = FeatureExtractor().transform(flow_batch(stream))
    assert batch.clock[1:].tolist() == [1_000.0 + i for i in range(100)]
    assert batch.matrix[-1, FEATURE_INDEX["src60_flows"]] == pytest.approx(math.log1p(60))


def test_the_record_bound_holds_and_is_counted() -> None:
    extractor = FeatureExtractor(max_records=50)
    stream = [record(float(i) / 100, "10.0.0.1", f"10.0.1.{i % 250}") for i in range(1000)]
    batch = extractor.transform(flow_batch(stream))
    assert extractor.context.evicted == 950
    assert batch.matrix[-1, FEATURE_INDEX["src3600_flows"]] == pytest.approx(math.log1p(50))


def test_memory_is_given_back_to_the_tables_after_the_hour() -> None:
    extractor = FeatureExtractor()
    for hour in range(6):
        stream = [
            record(hour * 7_200.0 + i / 10, f"10.{hour}.{i // 250}.{i % 250}", "10.9.9.9", i)
            for i in range(4_000)
        ]
        extractor.transform(flow_batch(stream))
    state = extractor.context._context
    # the first two records of an hour are too far ahead to move the clock, so they leave with it
    assert state.hosts.live == state.host.slots.live == 3_998 + 1
    assert state.pairs.live == state.services.live == state.source_ports.live == 3_998
    # rows of the hours before are used again, so is what the tables hold
    assert state.host.slots.counts[1] <= 2 * 4_000 + 1
    assert len(state.pairs.cells) <= 1 << 15


@pytest.mark.parametrize("bound", [0, MOST_RECORDS + 1])
def test_a_bound_that_cannot_be_kept_is_refused(bound: int) -> None:
    with pytest.raises(ValueError, match="must be from 1 to"):
        ContextEngine(bound)


def test_columns_that_compiled_code_cannot_take_are_refused() -> None:
    columns = flow_columns(flow_batch([record(1e9, "10.0.0.1", "10.0.0.2")] * 3), HostClassifier())
    out = np.zeros((3, len(FEATURES)), np.float32)
    for wrong in (
        columns._replace(resp_key=columns.resp_key[:2]),
        columns._replace(orig_payload=columns.orig_payload.astype(np.float32)),
        columns._replace(start=np.repeat(columns.start, 2)[::2]),
    ):
        with pytest.raises(ValueError, match=r"no rows|mismatch|contiguous"):
            ContextEngine().write(wrong, out)
    for small in (out[:2], out[:, :-1].copy()):
        with pytest.raises(ValueError, match="no room"):
            ContextEngine().write(columns, small)
    ContextEngine().write(columns, out)


def columns_of(stream: list[dict[str, Any]], *names: str) -> list[list[float]]:
    """Natural values of some features, a list for each."""
    matrix = feature_matrix([flow_batch(stream)])
    natural = [FEATURES[FEATURE_INDEX[name]].natural for name in names]
    at = [matrix[:, FEATURE_INDEX[name]].tolist() for name in names]
    return [[round(of(v), 3) for v in column] for of, column in zip(natural, at, strict=True)]


def test_what_goes_to_a_group_or_reports_an_error_is_no_contact() -> None:
    target = "10.0.0.9"
    stream = [
        record(0.0, "10.0.0.1", target),
        record(1.0, "10.0.0.1", "224.0.0.251", 5353, proto="udp"),
        record(2.0, "10.0.0.1", "10.0.0.255", 137, proto="udp"),
        record(3.0, "fe80::1", "fe80::2", proto="icmp") | {"id.orig_p": 135, "id.resp_p": 0},
        record(4.0, "10.0.0.1", target, proto="icmp") | {"id.orig_p": 3, "id.resp_p": 3},
        record(5.0, "10.0.0.1", target, proto="icmp") | {"id.orig_p": 8, "id.resp_p": 0},
        record(6.0, "10.0.0.1", "10.0.0.255"),  # nobody broadcasts by TCP
    ]
    flows, seen = columns_of(stream, "src3600_flows", "window60_seen")
    assert [math.isnan(n) for n in flows] == [False, True, True, True, True, False, False]
    assert [flows[i] for i in (0, 5, 6)] == [1, 2, 3]
    assert not any(map(math.isnan, seen))


def test_flows_of_one_second_are_one_contact() -> None:
    stream = [record(at, "10.0.0.1", "192.0.2.7", 443) for at in (0, 0.2, 0.9, 1.1, 60, 60.5, 120)]
    contacts, answers, series = columns_of(
        stream, "pair3600_contacts", "pair3600_answers", "contact_flows"
    )
    assert contacts == series == [1, 1, 1, 2, 3, 3, 4]
    assert answers == [1, 1, 1, 0.5, 0.333, 0.333, 0.25]


def test_sizes_of_lookups_are_those_of_a_packet() -> None:
    one = record(0.0, "10.0.0.1", "192.0.2.53", 53, proto="udp", sent=100, received=300)
    many = {**one, "id.orig_h": "10.0.0.2", "orig_pkts": 10, "resp_pkts": 10}
    many |= {"orig_ip_bytes": 1280, "resp_ip_bytes": 3280}
    sent, got = columns_of([one, many], "lookup_orig_mean", "lookup_resp_mean")
    assert sent[0] == sent[1]
    assert got[0] == got[1]

"""Logs with labels, from the file on disk to the environment."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.datasets.environment import LABEL_NAMES, UNLABELLED, Environment
from zeekml.datasets.labelled_logs import read_logs
from zeekml.errors import DataError, InputError, NotLabelledFlowsError
from zeekml.readers.flow_schema import FLOW_SCHEMA

Row = Callable[..., dict[str, Any]]
Tsv = Callable[..., str]


def names(environment: Environment) -> dict[str, str | None]:
    """Label of each flow by its uid."""
    return {
        uid: None if code == UNLABELLED else LABEL_NAMES[code]
        for uid, code in zip(
            environment.flows["uid"].to_pylist(), environment.labels.tolist(), strict=True
        )
    }


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def read(path: Path, label_file: Path | None = None) -> Environment:
    return read_logs(path, name="here", label_file=label_file)


def notes(environment: Environment) -> str:
    return "; ".join(environment.notes)


class TestLabelsInside:
    @pytest.mark.parametrize("name", ["conn.log.labeled", "conn.log.labeled.gz", "plain.txt"])
    @pytest.mark.parametrize("join", ["   ", "\t"])
    def test_stratosphere(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv, name: str, join: str
    ) -> None:
        labels = [("Malicious", "C&C-HeartBeat"), ("Benign", "-"), ("Background", "-")]
        path = write(tmp_path / name, tsv_of([row_of(i) for i in range(3)], labels, join=join))
        environment = read(path)
        assert names(environment) == {"C0": "c2", "C1": "benign", "C2": None}
        assert environment.flows.schema == FLOW_SCHEMA
        assert environment.flows["line"].to_pylist() == [8, 9, 10]
        assert environment.sensors == ("zeek",)
        assert environment.notes == ()
        assert environment.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_unknown_label_names_line_and_remedy(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        labels = [("Benign", "-"), ("Malicious", "Trojan\x1b[2J" + 60 * "x")]
        path = write(tmp_path / "conn.log.labeled", tsv_of([row_of(1), row_of(2)], labels))
        with pytest.raises(DataError, match=r"conn\.log\.labeled: line 9: unknown label") as caught:
            read(path)
        assert "labels.toml" in str(caught.value)
        assert "\x1b" not in str(caught.value)
        write(tmp_path / "labels.toml", f'"{"Trojan[2J" + 60 * "x"}" = "malware"')
        assert names(read(path)) == {"C1": "benign", "C2": "malware"}

    def test_lines_that_cannot_be_read_are_counted(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        rows = [row_of(1), row_of(2, ts="noon"), row_of(3)]
        text = tsv_of(rows, [("Benign", "-"), ("Benign", "-"), ("Malicious", "DDoS")])
        lines = text.splitlines(keepends=True)
        lines.insert(8, "cut\tshort   Malicious   DDoS\n")
        environment = read(write(tmp_path / "conn.log.labeled", "".join(lines)))
        assert names(environment) == {"C1": "benign", "C3": "dos"}
        assert "2 lines could not be read and were left out (bad_value 1, column_count 1)" in notes(
            environment
        )

    def test_zeek_json_with_labels(self, tmp_path: Path, row_of: Row) -> None:
        records = [row_of(i, ts=1.6e9 + i, duration=0.5) for i in range(4)]
        records[0] |= {"label": "Malicious", "detailedlabel": "DDoS"}
        records[1] |= {"label": "benign"}
        records[2] |= {"label": "Malicious", "detailed-label": "C&C"}
        path = write(tmp_path / "conn.log", "".join(json.dumps(r) + "\n" for r in records))
        assert names(read(path)) == {"C0": "dos", "C1": "benign", "C2": "c2", "C3": None}
        records[3] |= {"label": 7}
        write(path, "".join(json.dumps(r) + "\n" for r in records))
        with pytest.raises(DataError, match=r"conn\.log: line 4: unknown label '7'"):
            read(path)

    def test_plain_logs_have_no_labels(self, tmp_path: Path, row_of: Row, tsv_of: Tsv) -> None:
        with pytest.raises(NotLabelledFlowsError, match=r"no row has a label; give a label file"):
            read(write(tmp_path / "conn.log", tsv_of([row_of(1)])))

    def test_background_alone_is_nothing_to_learn(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        path = write(tmp_path / "conn.log", tsv_of([row_of(1)], [("Background", "-")]))
        with pytest.raises(NotLabelledFlowsError):
            read(path)


class TestCopies:
    def test_a_log_and_its_compressed_copy(self, tmp_path: Path, row_of: Row, tsv_of: Tsv) -> None:
        text = tsv_of([row_of(i) for i in range(5)], [("Benign", "-")] * 5)
        write(tmp_path / "conn.log.labeled", text)
        write(tmp_path / "conn.log.labeled.gz", text)
        environment = read(tmp_path)
        assert len(environment) == 5
        assert environment.duplicates == 5
        assert "5 records that repeat others left out" in notes(environment)

    def test_the_labelled_copy_gives_the_label(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        rows = [row_of(1), row_of(2)]
        write(tmp_path / "conn.log", tsv_of(rows))
        write(tmp_path / "conn.log.labeled", tsv_of(rows, [("Benign", "-"), ("Malicious", "DDoS")]))
        assert names(read(tmp_path)) == {"C1": "benign", "C2": "dos"}

    def test_copies_that_disagree_are_left_unlabelled(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        rows = [row_of(1), row_of(2)]
        write(tmp_path / "a" / "conn.log", tsv_of(rows, [("Benign", "-"), ("Benign", "-")]))
        write(tmp_path / "b" / "conn.log", tsv_of(rows, [("Benign", "-"), ("Malicious", "-")]))
        environment = read(tmp_path)
        assert names(environment) == {"C1": "benign", "C2": None}
        assert environment.label_conflicts == 1
        assert "1 flows with contradictory labels left unlabelled" in notes(environment)


class TestStreams:
    def test_each_directory_is_a_capture_in_order_of_flow_end(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        late, early = row_of(9, duration="1.0"), row_of(8, duration="90.0")
        write(tmp_path / "north" / "conn.log", tsv_of([early, late], [("Benign", "-")] * 2))
        write(tmp_path / "south" / "conn.log", tsv_of([row_of(1)], [("Malicious", "DDoS")]))
        environment = read(tmp_path)
        assert environment.capture_names == ("north/conn", "south/conn")
        assert environment.captures.tolist() == [0, 0, 1]
        assert environment.flows["uid"].to_pylist() == ["C9", "C8", "C1"]
        assert environment.labels.tolist() == [0, 0, LABEL_NAMES.index("dos")]

    def test_rotated_logs_are_one_capture_and_others_are_counted(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        for hour in (10, 11):
            name = f"conn.{hour}:00:00-{hour + 1}:00:00.log.gz"
            text = tsv_of([row_of(hour)], [("Benign", "-")])
            write(tmp_path / "2026-11-23" / name, text)
        write(tmp_path / "2026-11-23" / "ntp.log", "#separator \\x09\n#path\tntp\n#fields\tts\n")
        environment = read(tmp_path)
        assert environment.captures.tolist() == [0, 0]
        assert "1 other files were not read (zeek_ntp 1)" in notes(environment)

    def test_all_orders_are_those_of_an_environment(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        rng = np.random.default_rng(3)
        for name in ("a", "b"):
            rows = [
                row_of(i, uid=f"{name}{i}", duration=f"{rng.exponential(20):.6f}")
                for i in range(30)
            ]
            write(tmp_path / name / "conn.log", tsv_of(rows, [("Benign", "-")] * 30))
        environment = read(tmp_path)
        assert (np.diff(environment.captures) >= 0).all()
        for rows_of_one in environment.capture_slices():
            part = environment.flows.slice(rows_of_one.start, 30)
            ends = part["ts"].to_numpy() + part["duration"].to_numpy()
            assert (np.diff(ends) >= 0).all()


EVE = {
    "timestamp": "2020-09-13T12:27:40.000000+0000",
    "event_type": "flow",
    "src_ip": "10.0.0.5",
    "src_port": 40001,
    "dest_ip": "192.0.2.1",
    "dest_port": 443,
    "proto": "TCP",
    "flow": {
        "pkts_toserver": 5,
        "pkts_toclient": 4,
        "bytes_toserver": 360,
        "bytes_toclient": 408,
        "start": "2020-09-13T12:26:40.000000+0000",
        "end": "2020-09-13T12:26:41.000000+0000",
        "state": "closed",
        "reason": "timeout",
    },
}


class TestLabelFiles:
    @pytest.fixture
    def log(self, tmp_path: Path, row_of: Row, tsv_of: Tsv) -> Path:
        return write(tmp_path / "conn.log", tsv_of([row_of(i) for i in range(4)]))

    @pytest.mark.parametrize("name", ["labels.csv", "conn.log.labels.csv", "labels.csv.gz"])
    def test_beside_the_log(self, log: Path, name: str) -> None:
        write(log.parent / name, "uid,label\nC0,scan\nC1,benign\n")
        expected = {"C0": "scan", "C1": "benign", "C2": None, "C3": None}
        assert names(read(log)) == expected
        if not name.startswith("conn"):
            assert names(read(log.parent)) == expected

    def test_named(self, log: Path, tmp_path: Path) -> None:
        rows = write(tmp_path / "elsewhere" / "truth.csv", "uid,label\nC3,dos\n,benign\n")
        environment = read(log, rows)
        assert names(environment) == {"C0": "benign", "C1": "benign", "C2": "benign", "C3": "dos"}
        assert "3 flows labelled by default" in notes(environment)
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (log, rows)]
        both = hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()
        assert environment.sha256 == both

    def test_settings_beside_a_label_file_that_is_named(self, log: Path, tmp_path: Path) -> None:
        rows = write(tmp_path / "elsewhere" / "truth.csv", "uid,label\nC3,odd\n")
        with pytest.raises(DataError, match=r"elsewhere/labels\.toml"):
            read(log, rows)
        write(rows.parent / "labels.toml", 'default = "benign"\n[labels]\nodd = "web"')
        assert names(read(log, rows)) == {
            "C0": "benign",
            "C1": "benign",
            "C2": "benign",
            "C3": "web",
        }
        write(log.parent / "labels.toml", 'odd = "dos"')
        assert names(read(log, rows)) == {"C0": None, "C1": None, "C2": None, "C3": "dos"}

    def test_by_flow_and_time(self, log: Path) -> None:
        write(
            log.parent / "labels.csv",
            "id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,start,end,label\n"
            "10.0.0.0/24,,192.0.2.1,443,tcp,1600000002,1600000002,exfil\n"
            "192.0.2.1,443,10.0.0.5,40000,tcp,,,web\n",
        )
        environment = read(log)
        assert names(environment) == {"C0": "web", "C1": "exfil", "C2": "exfil", "C3": "exfil"}
        write(log.parent / "labels.toml", 'before = 0\nafter = 0\ndefault = "benign"')
        expected = {"C0": "web", "C1": "benign", "C2": "exfil", "C3": "benign"}
        assert names(read(log)) == expected

    @pytest.mark.parametrize("key", ["flow_id", "uid", "community_id"])
    def test_suricata(self, tmp_path: Path, key: str) -> None:
        events = [
            {**EVE, "flow_id": 1842981496292495 + i, "community_id": f"1:{i}="} for i in range(2)
        ]
        path = write(tmp_path / "eve.json.gz", "".join(json.dumps(e) + "\n" for e in events))
        value = "1:1=" if key == "community_id" else "1842981496292496"
        write(tmp_path / "labels.csv", f"{key},label\n{value},c2\n")
        environment = read(path)
        assert names(environment) == {"1842981496292495": None, "1842981496292496": "c2"}
        assert environment.sensors == ("suricata",)
        assert environment.flows.schema == FLOW_SCHEMA

    def test_a_label_file_goes_before_labels_inside(
        self, tmp_path: Path, row_of: Row, tsv_of: Tsv
    ) -> None:
        text = tsv_of([row_of(1), row_of(2)], [("whatever", "-"), ("Benign", "-")])
        path = write(tmp_path / "conn.log.labeled", text)
        write(tmp_path / "labels.csv", "uid,label\nC1,dos\n")
        assert names(read(path)) == {"C1": "dos", "C2": None}

    def test_contradictory_labels(self, log: Path) -> None:
        write(log.parent / "labels.csv", "uid,label\nC0,dos\nC0,benign\nC1,benign\nC1,normal\n")
        environment = read(log)
        assert names(environment) == {"C0": None, "C1": "benign", "C2": None, "C3": None}
        assert environment.label_conflicts == 1

    def test_circular_labels(self, log: Path) -> None:
        write(log.parent / "labels.csv", "uid,label,label_quality\nC0,dos,circular\nC1,benign,\n")
        environment = read(log)
        assert environment.circular.tolist() == [True, False, False, False]
        assert (environment.evaluation_labels() > 0).sum() == 0

    def test_episodes(self, log: Path) -> None:
        write(log.parent / "labels.csv", "uid,label,episode\nC1,dos,flood\n,benign,\n")
        found = read(log).episodes
        assert found is not None
        assert found.tolist() == [None, "flood", None, None]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("uid,label\nX1,dos\nX2,benign\n", r"none of its 2 rows fits any of the 4 flows; uids"),
            ("src,ts,label\n10.0.0.5,1700000000,dos\n", r"none of its 1 rows .*2020-09-13 12:26"),
            ("src,label\n10.9.9.9,dos\n", "none of its 1 rows .*which side is id.orig_h"),
            ("src,label\n10.9.9.9,dos\n,benign\n", "none of its 1 rows"),
            ("uid,kind\nC1,dos\n", "no column 'label'"),
            ("label,bytes\ndos,1\n", "no column says which flows"),
        ],
    )
    def test_refusals(self, log: Path, text: str, message: str) -> None:
        write(log.parent / "labels.csv", text)
        with pytest.raises(DataError, match=message):
            read(log)

    def test_rows_without_a_class_are_no_labels(self, log: Path) -> None:
        write(log.parent / "labels.csv", "uid,label\nC0,background\n")
        with pytest.raises(NotLabelledFlowsError, match=r"no flow gets a label from labels\.csv"):
            read(log)

    def test_unused_rows_and_doubt_are_told(self, log: Path) -> None:
        write(
            log.parent / "labels.csv",
            "uid,dst,dns_suffix,label\nC0,,,dos\nC9,,,dos\n,192.0.2.1,bad.test,c2\n,,,benign\n",
        )
        environment = read(log)
        assert names(environment) == {"C0": "dos", "C1": None, "C2": None, "C3": None}
        assert "3 flows left unlabelled" in notes(environment)
        assert "1 rows of the label file decide about no flow" in notes(environment)


class TestPoorLogs:
    def test_empty_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is empty"):
            read(write(tmp_path / "conn.log.labeled", ""))

    def test_header_alone(self, tmp_path: Path, tsv_of: Tsv, row_of: Row) -> None:
        text = tsv_of([row_of(1)], [("Benign", "-")])
        lines = [line for line in text.splitlines(keepends=True) if line.startswith("#")]
        with pytest.raises(NotLabelledFlowsError, match="no flow in it could be read"):
            read(write(tmp_path / "conn.log.labeled", "".join(lines)))

    def test_compressed_data_that_breaks_off(
        self, tmp_path: Path, tsv_of: Tsv, row_of: Row
    ) -> None:
        rng = np.random.default_rng(1)
        rows = [row_of(i, uid=f"C{rng.integers(1 << 60):x}") for i in range(3000)]
        path = write(tmp_path / "conn.log.gz", tsv_of(rows, [("Benign", "-")] * 3000))
        path.write_bytes(path.read_bytes()[:-2000])
        environment = read(path)
        assert 0 < len(environment) < 3000
        assert (environment.labels == 0).all()
        assert "1 files end too early" in notes(environment)

    @pytest.mark.parametrize("label", ["Benign", "Malicious"])
    def test_one_class_only(self, tmp_path: Path, tsv_of: Tsv, row_of: Row, label: str) -> None:
        rows = [row_of(i) for i in range(10)]
        environment = read(write(tmp_path / "conn.log", tsv_of(rows, [(label, "-")] * 10)))
        assert len(environment) == 10
        assert "rows" in str(environment.why_not_evaluable())

    def test_another_kind_of_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is no supported log"):
            read(write(tmp_path / "notes.txt", "no log at all\n"))


SAMPLES = Path(__file__).parent.parent.parent / "sample_logs"


def test_one_label_file_says_the_same_about_all_sample_logs() -> None:
    """Both sensors recorded the same packets; flows are compared by addresses, ports and label."""
    keys = ("id.orig_h", "id.resp_h", "id.resp_p", "proto")
    seen = []
    for name in ("zeek_tsv", "zeek_json", "suricata"):
        environment = read(SAMPLES / name, SAMPLES / "labels.csv")
        columns = [environment.flows[key].to_pylist() for key in keys]
        threats = environment.labels.tolist()
        seen.append({row for row in zip(*columns, threats, strict=True) if row[-1] > 0})
    tsv, from_json, suricata = seen
    assert tsv == from_json
    assert len(tsv & suricata) > 0.95 * len(tsv | suricata)

"""`zeekml score` on the sample logs and on input that is wrong in every usual way."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from score_process import start_scoring

from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.classes import THREATS

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "sample_logs"
TSV = SAMPLES / "zeek_tsv" / "conn.log"
RECORDS = 15_598  # of the Zeek sample


def notices(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "notice.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def scored(zeekml: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("scored") / "out"
    done = zeekml("score", SAMPLES, "--out", out, "--scores", "--enriched", "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_books_balance(scored: tuple[Path, Any]) -> None:
    out, summary = scored
    assert json.loads((out / "summary.json").read_text()) == summary
    gone = sum(summary["records_rejected"].values()) + sum(summary["records_skipped"].values())
    assert summary["records_read"] == summary["records_scored"] + gone
    assert summary["records_scored"] > 2 * RECORDS
    opened = [n for n in notices(out) if n["zeekml_seq"] == 0]
    assert sum(summary["notices"].values()) == len(opened)
    assert len((out / "eve.json").read_text().splitlines()) == len(opened)
    assert summary["bundle"] == load_bundle().digest


def test_every_incident_opens_once_and_closes(scored: tuple[Path, Any]) -> None:
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    stream, last_ts = 0, 0.0
    for n in notices(scored[0]):
        stream += n["ts"] < last_ts  # each stream starts anew
        last_ts = n["ts"]
        lines.setdefault((str(stream), n["zeekml_id"]), []).append(n)
    assert stream == 2
    for group in lines.values():
        assert [n["zeekml_seq"] for n in group] == list(range(len(group)))
        assert group[0]["zeekml_state"] == "open"
        assert group[-1]["zeekml_state"] == "closed"


def test_what_both_sensors_saw_carries_one_mark(scored: tuple[Path, Any]) -> None:
    found: dict[Any, Any] = {}
    for n in notices(scored[0]):
        # Suricata's uids are the numbers of its flows
        found.setdefault(n["zeekml_group"], set()).add(n["uid"].isdecimal())
    assert sum(sensors == {True, False} for sensors in found.values()) >= 0.85 * len(found) > 0
    for line in (scored[0] / "eve.json").read_text().splitlines():
        assert json.loads(line)["alert"]["metadata"]["zeekml_group"][0] in found


def test_the_closing_table_has_an_attack_once_however_many_logs_show_it(
    scored: tuple[Path, Any], zeekml: Any, tmp_path: Path
) -> None:
    """Zeek's log in two forms, with incidents of the same names, and Suricata's, with others."""
    shown = zeekml("score", SAMPLES, "--out", tmp_path / "out").stdout
    (heading,) = re.findall(r"Incidents: (.*)", shown)
    listed = sum(int(count) for count in re.findall(r"[a-z0-9]+ (\d+)", heading))
    groups = {n["zeekml_group"] for n in notices(scored[0])}
    assert listed == len(groups)
    assert shown.count("zeek_tsv") == shown.count("zeek_json,")
    # how sure each is, which its lines tell, too
    sure = {n["zeekml_confidence"] for n in notices(tmp_path / "out")}
    assert sure >= {int(told) for told in re.findall(r" (\d+) % ", shown)} > set()


def test_scores_have_a_row_per_record_in_stream_order(scored: tuple[Path, Any]) -> None:
    out, summary = scored
    table = pq.read_table(out / "scores.parquet")
    assert table.column_names == [
        "sensor",
        "source",
        "line",
        "uid",
        "community_id",
        "ts",
        "score",
        "threat",
        "spread",
    ]
    assert table.num_rows == summary["records_scored"]
    rows = [r for r in table.to_pylist() if r["source"].endswith("zeek_tsv/conn.log")]
    assert [r["line"] for r in rows] == list(range(9, 9 + RECORDS))
    assert {r["threat"] for r in rows} <= set(THREATS)
    assert all(0 <= r["score"] <= 1 and r["spread"] >= 0 for r in rows)


def test_tsv_and_json_of_the_same_records_agree(scored: tuple[Path, Any]) -> None:
    rows = pq.read_table(scored[0] / "scores.parquet").to_pylist()
    keys = ("uid", "community_id", "ts", "score", "threat", "spread")
    tsv = [[r[k] for k in keys] for r in rows if "zeek_tsv" in r["source"]]
    as_json = [[r[k] for k in keys] for r in rows if "zeek_json" in r["source"]]
    assert tsv == as_json


def test_enriched_records_are_the_originals_with_scores(scored: tuple[Path, Any]) -> None:
    lines = (scored[0] / "conn_scored.log").read_text().splitlines()
    enriched = [r for r in map(json.loads, lines) if "uid" in r]
    with gzip.open(SAMPLES / "zeek_json" / "conn.log.gz", "rt") as file:
        originals = {r["uid"]: r for r in map(json.loads, file)}
    assert len(enriched) == 2 * RECORDS  # from TSV and from JSON
    for record in enriched:
        scores = {k: record.pop(k) for k in list(record) if k.startswith("zeekml_")}
        assert set(scores) == {"zeekml_score", "zeekml_threat", "zeekml_spread"}
        original = originals[record["uid"]]
        assert {k: record[k] for k in ("id.orig_h", "id.resp_p", "conn_state")} == {
            k: original[k] for k in ("id.orig_h", "id.resp_p", "conn_state")
        }
        assert record["ts"] == pytest.approx(original["ts"], abs=1e-6)


def test_another_run_writes_the_same_bytes_and_replaces(
    scored: tuple[Path, Any], zeekml: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notice.log").write_text("from an earlier run\n")
    (out / "scores.parquet").write_text("from an earlier run\n")
    done = zeekml("score", SAMPLES, "--out", out, "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    for name in ("notice.log", "eve.json", "rejects.jsonl"):
        assert (out / name).read_bytes() == (scored[0] / name).read_bytes(), name
    assert not (out / "scores.parquet").exists()
    assert not list(out.glob(".zeekml-*"))
    assert (out / "notice.log").stat().st_mode & 0o777 == 0o640


def test_reading_ahead_changes_nothing(zeekml: Any, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        done = zeekml("score", TSV, "--out", tmp_path / name, "--scores", "--workers", workers)
        assert done.returncode == 0, done.stderr
    for name in ("notice.log", "eve.json", "scores.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_standard_input_gives_what_the_file_gives(zeekml: Any, tmp_path: Path) -> None:
    from_file = zeekml("score", TSV, "--out", tmp_path / "file", "--scores")
    piped = zeekml(
        "score", "-", "--out", tmp_path / "pipe", "--scores", stdin=gzip.compress(TSV.read_bytes())
    )
    assert (from_file.returncode, piped.returncode) == (0, 0), piped.stderr
    notice_file, notice_pipe = tmp_path / "file/notice.log", tmp_path / "pipe/notice.log"
    assert notice_file.read_bytes() == notice_pipe.read_bytes()
    keys = ["line", "uid", "ts", "score", "threat", "spread"]
    left = pq.read_table(tmp_path / "file/scores.parquet", columns=keys)
    assert left == pq.read_table(tmp_path / "pipe/scores.parquet", columns=keys)


def test_tsv_notices_and_strict_ones(zeekml: Any, tmp_path: Path) -> None:
    done = zeekml("score", TSV, "--out", tmp_path / "tsv", "--notice-format", "tsv")
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "tsv/notice.log").read_text().splitlines()
    assert lines[0] == "#separator \\x09"
    assert sum(line.startswith("#fields") for line in lines) == 1
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")
    body = [line for line in lines if not line.startswith("#")]
    assert body
    assert all(len(line.split("\t")) == len(fields) - 1 for line in body)
    done = zeekml("score", TSV, "--out", tmp_path / "strict", "--strict-notice")
    assert done.returncode == 0, done.stderr
    for notice in notices(tmp_path / "strict"):
        assert not any(key.startswith("zeekml_") for key in notice)
        assert json.loads(notice["sub"])["zeekml_id"]


def test_the_closing_table_says_who_did_what(zeekml: Any, tmp_path: Path) -> None:
    done = zeekml("score", SAMPLES, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "read =" in text
    assert "10.20.5.66 scanned" in text
    assert "suricata, zeek_json," in text
    # the sample has Zeek's records in two forms
    assert "flows in two logs, which count twice: 1 files; see files_doubled" in text
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_a_flow_table_is_an_input_too(zeekml: Any, tmp_path: Path) -> None:
    from zeekml.readers.archive import flows_of
    from zeekml.readers.files.discovery import discover

    pq.write_table(flows_of(discover([TSV])), tmp_path / "flows.parquet")
    done = zeekml("score", tmp_path / "flows.parquet", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["records_scored"] == RECORDS


def test_rejected_lines_are_counted_and_located(zeekml: Any, tmp_path: Path) -> None:
    lines = TSV.read_bytes().splitlines(keepends=True)
    lines[100] = b"damaged\n"
    lines[200] = lines[200].replace(b"tcp", b"\xff\x00").replace(b"udp", b"\xff\x00")
    log = tmp_path / "conn.log"
    log.write_bytes(b"".join(lines))
    done = zeekml("score", log, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert sum(summary["records_rejected"].values()) == RECORDS - summary["records_scored"]
    rejects = [
        json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text().splitlines()
    ]
    assert {r["line"] for r in rejects} >= {101}
    assert all(set(r) == {"source", "line", "reason", "excerpt"} for r in rejects)


def one_line(text: str) -> str:
    assert text.startswith("zeekml: ")
    assert text.count("\n") == 1
    return text


def test_input_that_cannot_be_used(zeekml: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("nothing here\n")
    cases = [
        ("missing.log", "missing.log"),
        (empty, "no supported log"),
        (other, "no supported log"),
        (other / "README.md", "README.md"),
    ]
    for given, what in cases:
        done = zeekml("score", given, "--out", out, cwd=tmp_path)
        assert done.returncode == 66, (given, done.stderr)
        assert what in one_line(done.stderr)
        assert not out.exists()


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    shutil.copy(TSV, log)
    log.chmod(0o000)
    # root may read everything unless it gives up the capabilities that let it
    capabilities = "-dac_override,-dac_read_search"
    as_anyone = ["setpriv", "--bounding-set", capabilities] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_anyone, sys.executable, "-m", "zeekml", "score", log, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 66, done.stderr
    assert "conn.log" in one_line(done.stderr)


def test_a_log_cut_short_is_scored_and_reported(zeekml: Any, tmp_path: Path) -> None:
    whole = gzip.compress(TSV.read_bytes())
    (tmp_path / "conn.log.gz").write_bytes(whole[: len(whole) // 2])
    done = zeekml("score", tmp_path / "conn.log.gz", "--out", tmp_path / "out", "--json")
    assert done.returncode == 65
    assert "conn.log.gz" in one_line(done.stderr)
    assert 0 < json.loads(done.stdout)["records_scored"] < RECORDS


def test_nothing_to_score(zeekml: Any, tmp_path: Path) -> None:
    event = {"timestamp": "2026-11-23T10:00:00.000000+0000", "event_type": "stats", "stats": {}}
    (tmp_path / "eve.json").write_text(json.dumps(event) + "\n")
    done = zeekml("score", tmp_path / "eve.json", "--out", tmp_path / "out")
    assert done.returncode == 65
    assert "flow events" in one_line(done.stderr)


def test_a_bundle_with_one_byte_changed(zeekml: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(load_bundle().path, bundle)
    for path in (bundle, *bundle.iterdir()):
        path.chmod(path.stat().st_mode & ~0o022)
    member = bundle / "member_2.tflite"
    data = bytearray(member.read_bytes())
    data[len(data) // 2] ^= 1
    member.write_bytes(data)
    done = zeekml("score", TSV, "--out", tmp_path / "out", "--bundle", bundle)
    assert done.returncode == 65
    assert "member_2.tflite" in one_line(done.stderr)
    assert not (tmp_path / "out").exists()


def test_an_unknown_key_in_the_policy(zeekml: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    policy = rules / "policy.yaml"
    lines = policy.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("minimum_flows:"))
    lines[at] = lines[at].replace("minimum_flows", "minimal_flows")
    policy.write_text("\n".join(lines))
    done = zeekml("score", TSV, "--out", tmp_path / "out", "--rules", rules)
    assert done.returncode == 78
    message = one_line(done.stderr)
    assert f"policy.yaml:{at + 1}" in message
    assert "minimal_flows" in message
    assert not (tmp_path / "out").exists()


SCANNER = "198.51.100.99"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_allowlist_silences_what_it_covers_and_nothing_else(
    zeekml: Any, tmp_path: Path, workers: str
) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    arguments = ("score", TSV, "--rules", rules, "--workers", workers, "--json", "--out")
    assert zeekml(*arguments, tmp_path / "before").returncode == 0
    added = zeekml(
        *("rules", "allow", "--rules", rules, "--src", SCANNER, "--threat", "scan"),
        *("--reason", "ours", "--owner", "alice", "--expiry", "never", "--id", "scanner"),
    )
    assert added.returncode == 0
    done = zeekml(*arguments, tmp_path / "after")
    assert done.returncode == 0

    before = (tmp_path / "before" / "notice.log").read_bytes().splitlines()
    after = (tmp_path / "after" / "notice.log").read_bytes().splitlines()
    silenced = (tmp_path / "after" / "silenced.jsonl").read_bytes().splitlines()
    theirs = [line for line in before if is_scan_of(SCANNER, json.loads(line))]
    assert theirs
    # the rest is the same to the byte, and so is what was silenced
    assert after == [line for line in before if line not in theirs]
    assert [line.split(b',"silenced_by":')[0] + b"}" for line in silenced] == theirs
    assert {json.loads(line)["silenced_by"]["id"] for line in silenced} == {"scanner"}
    opened = sum(json.loads(line)["zeekml_seq"] == 0 for line in theirs)
    assert json.loads(done.stdout)["allowlisted"] == opened
    assert (tmp_path / "before" / "silenced.jsonl").read_bytes() == b""
    alerts = (tmp_path / "after" / "eve.json").read_bytes().splitlines()
    ids = {json.loads(line)["zeekml_id"] for line in theirs}
    assert not ids & {json.loads(a)["alert"]["metadata"]["zeekml_id"][0] for a in alerts}


def is_scan_of(host: str, notice: dict[str, Any]) -> bool:
    return notice.get("src") == host and notice["note"] == "ZeekML::Scan"


def test_an_expired_entry_is_warned_of_and_silences_nothing(zeekml: Any, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    (rules / "allowlist.yaml").write_text(
        "version: 1\nentries:\n  - {cidr: 0.0.0.0/0, reason: all, owner: bob, expiry: 2020-01-01}\n"
    )
    done = zeekml("score", TSV, "--out", tmp_path / "out", "--rules", rules, "--json")
    assert done.returncode == 0
    assert "allowlist.yaml:3: the entry" in one_line(done.stderr)
    assert "of bob expired" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["allowlisted"] == 0
    assert summary["notices"]
    checked = zeekml("rules", "check", "--rules", rules)
    assert checked.returncode == 0
    assert "0 entries in force" in checked.stdout
    assert "expired" in checked.stderr


def test_usage_errors(zeekml: Any, tmp_path: Path) -> None:
    assert zeekml("score").returncode == 2
    assert zeekml("score", TSV, "--out", tmp_path, "--frobnicate").returncode == 2


def test_output_that_cannot_be_written(zeekml: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = zeekml("score", TSV, "--out", tmp_path / "file" / "out")
    assert done.returncode == 74
    one_line(done.stderr)


def test_output_into_the_log_directory_is_refused(zeekml: Any, tmp_path: Path) -> None:
    shutil.copy(TSV, tmp_path / "conn.log")
    for given in (tmp_path, tmp_path / "conn.log"):
        done = zeekml("score", given, "--out", tmp_path)
        assert done.returncode == 74
        assert "choose another --out" in one_line(done.stderr)


def test_a_page_that_would_cost_another_file_is_refused(zeekml: Any, tmp_path: Path) -> None:
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    shutil.copy(TSV, logs / "conn.log")
    for page, says in (
        (logs / "conn.log", "is there and is no such page"),
        (out / "notice.log", "the run writes notice.log there"),
        (logs / "conn.log" / "x.html", "is a file"),
    ):
        done = zeekml("score", logs, "--out", out, "--report", page)
        assert done.returncode == 74
        assert says in one_line(done.stderr)
    assert (logs / "conn.log").read_bytes() == TSV.read_bytes()
    assert not out.exists()


@pytest.mark.parametrize(
    ("report", "page"),
    [("", "report.html"), ("new", "new/report.html"), ("mine.html", "mine.html")],
)
def test_the_page_is_written_and_replaced(
    report: str, page: str, zeekml: Any, tmp_path: Path
) -> None:
    path = tmp_path / page
    for _ in range(2):
        done = zeekml("score", TSV, "--out", tmp_path / "out", "--report", tmp_path / report)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"Report: {path}\n")
        assert path.read_text().startswith("<!DOCTYPE html>")
        assert path.read_text().endswith("</html>\n")


def test_our_own_outputs_are_not_read_again(zeekml: Any, tmp_path: Path) -> None:
    shutil.copy(TSV, tmp_path / "conn.log")
    first = zeekml("score", tmp_path, "--out", tmp_path / "out", "--enriched", "--json")
    again = zeekml("score", tmp_path, "--out", tmp_path / "out2", "--json")
    assert first.returncode == again.returncode == 0
    records = [json.loads(done.stdout)["records_read"] for done in (first, again)]
    assert records == [RECORDS, RECORDS]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_the_earlier_results(
    kind: signal.Signals, tmp_path: Path
) -> None:
    process, out = start_scoring(tmp_path, copies=60, until=".zeekml-*/*/notice.log")
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if kind == signal.SIGINT else 143), errors
    assert "Traceback" not in errors
    assert [p.name for p in out.iterdir()] == ["notice.log"]
    assert (out / "notice.log").read_text() == "from an earlier run\n"


def test_values_that_are_not_understood_are_counted_and_told(zeekml: Any, tmp_path: Path) -> None:
    head, *rows = TSV.read_text().partition("#types")[2].splitlines()[1:11]
    names = TSV.read_text().partition("#fields\t")[2].splitlines()[0].split("\t")
    records = []
    for i, row in enumerate([head, *rows]):
        cells = dict(zip(names, row.split("\t"), strict=True))
        record = {name: cell for name, cell in cells.items() if cell != "-"}
        if i < 3:
            record["id.resp_p"] = "443/tcp"
        records.append(json.dumps(record))
    log = tmp_path / "conn.json"
    log.write_text("\n".join(records) + "\n")
    done = zeekml("score", log, "--out", tmp_path / "out", "--enriched")
    assert done.returncode == 0, done.stderr
    assert "values not understood: id.resp_p 3" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["records_scored"] == len(records)
    assert summary["values_unknown"] == {"id.resp_p": 3}
    assert (tmp_path / "out" / "rejects.jsonl").read_text() == ""
    enriched = (tmp_path / "out" / "conn_scored.log").read_text().splitlines()
    assert [json.loads(line)["id.resp_p"] for line in enriched][:3] == ["443/tcp"] * 3
    done = zeekml("features", log, "--out", tmp_path / "features.parquet", "--json")
    assert json.loads(done.stdout)["values_unknown"] == {"id.resp_p": 3}

"""Every text of every log, in every output: nothing in a log acts, forges a line or hides one.

One real scan from the sample, three times: as Zeek's TSV, Zeek's JSON and Suricata's EVE. Each text
field of each record holds the same hostile text, and so do names of fields and the name of the
log. All that comes out is read by parsers that are not ours.
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_logs"
SCANNER = "198.51.100.99"
UNTIL = 250  # records of it

# leave a cell, a line, a string, a set; move a cursor; be markup, a page, a format, a formula
BAD = (
    '=1+1|[red]r[/red][/]x\t-\n#close\n{"zeekml_id":"ff","note":"Forged::Note"}\r"},"note":"Forged::Note",'
    "\\x0a\\n\x1b[2J\x1b]0;own\x07\x9b31m\x7f\u202e\u2028\x85"
    "<script>alert(1)</script>{0}%s`id`"
)
NAME = "conn\x1b[2J\u202e[red]x<b>.log"

Files = dict[str, bytes]


def zeek_json() -> Iterator[bytes]:
    with gzip.open(SAMPLES / "zeek_json" / "conn.log.gz", "rt") as file:
        records = [json.loads(line) for line in file if f'"{SCANNER}"' in line]
    for n, record in enumerate(records[:UNTIL]):
        record |= {
            "uid": f"{BAD}{n}",
            "service": BAD,
            "history": BAD,
            "community_id": BAD,
            "tunnel_parents": [BAD],
            BAD: BAD,
        }
        yield json.dumps(record, ensure_ascii=n % 2 == 0).encode() + b"\n"


def zeek_tsv() -> Iterator[bytes]:
    """As Zeek writes it: what would leave a cell is escaped, and the rest is as it came."""
    escaped = "".join(
        f"\\x{ord(c):02x}" if c in "\t\n\r" else "\\\\" if c == "\\" else c for c in BAD
    ).encode()
    with (SAMPLES / "zeek_tsv" / "conn.log").open("rb") as file:
        lines = file.read().splitlines(keepends=True)
    names: list[bytes] = []
    count = 0
    for line in lines:
        if line.startswith(b"#close"):
            continue
        if line.startswith(b"#fields"):
            names = line.rstrip(b"\n").split(b"\t")[1:]
            yield line.replace(b"tunnel_parents", escaped)
        elif line.startswith(b"#"):
            yield line
        elif SCANNER.encode() in line and count < UNTIL:
            cells = line.rstrip(b"\n").split(b"\t")
            for name in (b"service", b"history", b"community_id", b"tunnel_parents"):
                cells[names.index(name)] = escaped
            cells[names.index(b"uid")] = escaped + str(count).encode()
            count += 1
            yield b"\t".join(cells) + b"\n"


def suricata() -> Iterator[bytes]:
    with gzip.open(SAMPLES / "suricata" / "eve.json.gz", "rt") as file:
        events = [json.loads(line) for line in file if f'"{SCANNER}"' in line]
    flows = [e for e in events if e["event_type"] == "flow"][:UNTIL]
    for n, event in enumerate(flows):
        alert = {"signature": BAD, "signature_id": 1, "category": BAD, "metadata": {BAD: [BAD]}}
        same = {key: event[key] for key in ("timestamp", "flow_id", "src_ip", "dest_ip", "proto")}
        event |= {"app_proto": BAD, "community_id": BAD, "host": BAD, "in_iface": BAD, BAD: BAD}
        for told in (same | {"event_type": "alert", "alert": alert}, event, {"event_type": BAD}):
            yield json.dumps(told, ensure_ascii=n % 2 == 0).encode() + b"\n"


LOGS: dict[str, Callable[[], Iterator[bytes]]] = {
    "zeek_json": zeek_json,
    "zeek_tsv": zeek_tsv,
    "suricata": suricata,
}
FORMS = {
    "json": (),
    "strict": ("--strict-notice",),
    "tsv": ("--notice-format", "tsv"),
    "strict-tsv": ("--notice-format", "tsv", "--strict-notice"),
}
CASES = [(log, "json") for log in LOGS] + [("suricata", form) for form in FORMS if form != "json"]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def run(request: Any, zeekml: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The log, the form of notice.log, the outputs, and what was printed."""
    log, form = request.param
    directory = tmp_path_factory.mktemp("hostile")
    path, out, rules = directory / NAME, directory / "out", directory / "rules"
    # a line that is no record, to be quoted among the rejects
    text = b"".join(LOGS[log]()) + BAD.replace("\n", " ").encode() + b"\n"
    if log == "zeek_json":
        text += json.dumps({"_path": BAD, "ts": 1.0}).encode() + b"\n"  # of another kind
    path.write_bytes(text)
    shutil.copytree(ROOT / "rules", rules)
    options = (*FORMS[form], "--enriched", "--scores", "--rules", rules)
    options += ("--report", out / "report.html")
    done = zeekml("score", path, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return log, form, path, out, done


def assert_inert(text: str, but: str = "\n") -> None:
    """Nothing in a text that a terminal or a reader of lines acts upon."""
    odd = {c for c in text if not c.isprintable() and c not in but}
    assert not odd, odd


def objects(path: Path) -> list[dict[str, Any]]:
    text = path.read_bytes()
    assert text.endswith(b"\n")
    found = [json.loads(line) for line in text.split(b"\n")[:-1]]
    assert all(isinstance(item, dict) for item in found)
    return found


def cells(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV log, as a reader that knows nothing but tabs and newlines takes them."""
    lines = path.read_text().split("\n")
    assert lines.pop() == ""
    (names,) = [line.split("\t")[1:] for line in lines if line.startswith("#fields")]
    assert [line for line in lines if line.startswith("#")] == lines[:8]
    rows = [line.split("\t") for line in lines[8:]]
    assert {len(row) for row in rows} == {len(names)}
    return [dict(zip(names, row, strict=True)) for row in rows]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def test_every_record_counts_and_none_is_forged(run: Any) -> None:
    _, form, _, out, _ = run
    summary = json.loads((out / "summary.json").read_text())
    assert summary["records_scored"] == UNTIL
    assert sum(summary["records_rejected"].values()) == 1
    path = out / "notice.log"
    notices = cells(path) if form.endswith("tsv") else objects(path)
    assert sum(summary["notices"].values()) == len(objects(out / "eve.json"))
    assert len(notices) >= 2  # one opens and closes
    assert {n["note"].partition("::")[0] for n in notices} == {"ZeekML"}
    assert {n["peer_descr"] for n in notices} == {"zeekml"}
    for told in notices:
        if form.startswith("strict"):
            text = told["sub"].replace("\\\\", "\\") if form.endswith("tsv") else told["sub"]
            told |= json.loads(text)
        assert str(told["zeekml_threat"]) in {"dos", "scan", "bruteforce", "web", "malware"}


def test_what_is_written_is_inert(run: Any) -> None:
    log, form, _, out, _ = run
    assert_inert((out / "notice.log").read_text(), "\n\t" if form.endswith("tsv") else "\n")
    for name in ("eve.json", "evidence.jsonl", "silenced.jsonl", "rejects.jsonl", "summary.json"):
        assert_inert((out / name).read_text())
    quoted = objects(out / "eve.json") + objects(out / "evidence.jsonl")
    if form == "json":
        quoted += objects(out / "notice.log")
    # and what a viewer shows of it, once it is decoded
    for text in strings(quoted + objects(out / "rejects.jsonl")):
        assert_inert(text, "")
    assert any("<script>" in text for text in strings(quoted))  # it did get there
    if log == "suricata":
        assert any("[sid 1]" in text for text in strings(objects(out / "eve.json")))


def test_enriched_records_say_what_the_log_said(run: Any) -> None:
    log, _, _, out, _ = run
    records = objects(out / "conn_scored.log")
    assert len(records) == UNTIL
    assert_inert((out / "conn_scored.log").read_text())
    field = "app_proto" if log == "suricata" else "history"
    assert {record[field] for record in records} == {BAD}
    assert all(0.0 <= record["zeekml_score"] <= 1.0 for record in records)
    table = pq.read_table(out / "scores.parquet").to_pylist()
    assert len(table) == UNTIL
    if log != "suricata":
        uids = {row["uid"] for row in table}
        assert len(uids) == UNTIL
        assert not {c for uid in uids for c in uid if c < " " or "\x7f" <= c < "\xa0"}


def test_what_is_shown_is_inert(run: Any, zeekml: Any) -> None:
    _, form, path, out, done = run
    first = json.loads((out / "evidence.jsonl").read_text().split("\n")[0])["notice"]
    explained = zeekml("explain", first["zeekml_id"], "--out", out)
    assert "[red]" in explained.stdout  # as text
    shown = [done, explained, zeekml("dashboard", "--out", out, "--once")]
    if form == "json":  # the others differ in notice.log alone
        shown += [
            zeekml("explain", first["zeekml_id"], "--out", out, "--json"),
            zeekml("dashboard", "--out", out, "--json"),
            zeekml("check", "--zeek", path, "--suricata", path),
            zeekml("features", path, "--out", out.parent / "features.parquet", "--json"),
        ]
    for process in shown:
        assert_inert(process.stdout)
        assert_inert(process.stderr)


class Elements(HTMLParser):
    """Elements of a picture or page; all of ours are drawn, none is from a log."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(not name.startswith("on") for name, _ in attrs)
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_inert(run: Any) -> None:
    *_, out, _ = run
    text = (out / "report.html").read_text()
    assert_inert(text)
    page = Elements()
    page.feed(text)
    assert not page.tags & {"script", "b", "red"}
    assert "[red]r[/red]" in page.text


def test_a_picture_of_it_is_inert(run: Any, zeekml: Any) -> None:
    _, form, _, out, _ = run
    if form != "json":
        return  # the others differ in notice.log alone, which the dashboard has been shown
    picture = out.parent / "picture.svg"
    assert zeekml("dashboard", "--out", out, "--svg", picture).returncode == 0
    text = picture.read_text()
    assert_inert(text)
    parser = Elements()
    parser.feed(text)
    assert parser.tags
    assert "script" not in parser.tags


def test_a_watch_writes_the_same(run: Any, zeekml: Any, tmp_path: Path) -> None:
    log, form, path, out, _ = run
    kind = "--suricata" if log == "suricata" else "--zeek"
    live, state = tmp_path / "live", tmp_path / "state"
    done = zeekml(
        *("watch", kind, path, "--out", live, "--state", state, "--until-idle", "1"),
        *(*FORMS[form], "--enriched"),
    )
    assert done.returncode == 0, done.stderr
    assert_inert(done.stdout + done.stderr)
    for name in ("notice.log", "eve.json", "conn_scored.log", "rejects.jsonl"):
        assert_inert((live / name).read_text(), "\n\t" if form.endswith("tsv") else "\n")
    alerts = [e for e in objects(live / "eve.json") if e["event_type"] == "alert"]
    known = {e["alert"]["metadata"]["zeekml_id"][0] for e in objects(out / "eve.json")}
    assert {e["alert"]["metadata"]["zeekml_id"][0] for e in alerts} == known
    assert len(objects(live / "conn_scored.log")) == UNTIL
    shown = zeekml("dashboard", "--state", state, "--once")
    assert shown.returncode == 0, shown.stderr
    assert_inert(shown.stdout)


def test_words_of_the_rules_are_texts_too(zeekml: Any, tmp_path: Path) -> None:
    """Reasons and owners are typed by people, and shown to others."""
    rules, log, out = tmp_path / "rules", tmp_path / "conn.log", tmp_path / "out"
    shutil.copytree(ROOT / "rules", rules)
    entries = [
        {"id": "a", "src": SCANNER, "reason": BAD, "owner": BAD, "expiry": "never"},
        {"id": "b", "service": BAD, "reason": BAD, "owner": BAD, "expiry": "2020-01-31"},
    ]
    (rules / "allowlist.yaml").write_text(json.dumps({"version": 1, "entries": entries}))
    log.write_bytes(b"".join(zeek_json()))
    done = zeekml("score", log, "--out", out, "--rules", rules)
    assert done.returncode == 0, done.stderr
    silenced = objects(out / "silenced.jsonl")
    assert silenced[0]["silenced_by"]["id"] == "a"
    assert_inert((out / "silenced.jsonl").read_text())
    shown = [
        done,
        zeekml("rules", "check", "--rules", rules),
        zeekml("rules", "show", "--rules", rules),
    ]
    shown += [zeekml("rules", word, "--rules", rules, "--json") for word in ("check", "show")]
    for process in shown:
        assert process.returncode == 0, process.stderr
        assert_inert(process.stdout + process.stderr)

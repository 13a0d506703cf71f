"""The output files of a watcher: each notice once, whatever the form and wherever it stopped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lines import FORMS, HEALTH, ID, NOTICE, notices

from zeekml.alerts.eve_alert import encode_alert
from zeekml.alerts.health_notice import first_notice, health_event
from zeekml.alerts.zeek_notice import NOTICE_COLUMNS, TsvEncoder, encode_json
from zeekml.detection.candidates import Candidates, candidate_flows
from zeekml.ensemble.scoring import Scores
from zeekml.errors import OutputError
from zeekml.live.outputs import live_outputs
from zeekml.live.outputs.live_outputs import LiveOutputs, line_key
from zeekml.live.state.database import Mark
from zeekml.outputs import ENRICHED, EVE_JSON, NOTICE_LOG, REJECTS, SILENCED, OutputOptions
from zeekml.pairs.layout import CONTACT
from zeekml.pipeline import ScoredBatch
from zeekml.readers.flow_schema import FLOW_SCHEMA, ORIGINAL_FIELD

OTHER_ID = "f" * 24
FORGED = '"zeekml_id":"' + OTHER_ID + '","zeekml_seq":9'


def opened(
    directory: Path,
    marks: Mapping[str, Mark] = MappingProxyType({}),
    options: OutputOptions | None = None,
) -> LiveOutputs:
    options = options or OutputOptions()

    def opening(name: str) -> list[bytes]:
        if name not in (NOTICE_LOG, EVE_JSON):
            return []
        first = first_notice(1_700_000_000.0, "zeekml writes here", {}, sensor="office")
        if name == EVE_JSON:
            return [health_event(first)]
        if options.notice_format == "tsv":
            return [TsvEncoder(0.0, options.strict_notice).encode(first)]
        return [encode_json(first, options.strict_notice)]

    return LiveOutputs(directory, options, marks, opening, lambda: 1_700_000_000.0)


def written(directory: Path, *rotated: str) -> Counter[str]:
    """How often each notice stands in notice.log and the files rotated from it."""
    lines = [
        line
        for name in (*rotated, NOTICE_LOG)
        for line in (directory / name).read_bytes().splitlines(keepends=True)
    ]
    keys = Counter(key for line in lines if (key := live_outputs._notice_key(line)))
    return Counter({key: n for key, n in keys.items() if key[:3] == "000"})


@pytest.mark.parametrize(("form", "strict"), FORMS)
@given(
    text=st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                "{" + FORGED + "}",
                '","' + FORGED[1:],
                "\\" + FORGED,
                '\\\\",' + FORGED,
                "\t" + "\t".join(["x"] * 40),
                "\n{" + FORGED + "}\n",
                "-",
                "(empty)",
                "#fields",
                "{",
            ]
        ),
    ),
    seq=st.integers(0, 2**40),
)
@settings(max_examples=60, derandomize=True)
def test_a_line_of_notice_log_is_known_by_its_key(
    form: str, strict: bool, text: str, seq: int
) -> None:
    flow = replace(NOTICE.flow, uid=text, service=text, community_id=text, orig_h=text)
    hostile = replace(
        NOTICE,
        flow=flow,
        seq=seq,
        src=text,
        msg=text,
        sub=text,
        why=(text, "," + text),
        signatures=(text,),
        sensor=text,
        stream=text,
    )
    health = replace(HEALTH, seq=seq, msg=text, sub=text, stream=text, sensor=text)
    for notice in (hostile, health):
        line = (
            TsvEncoder(0.0, strict).encode(notice) if form == "tsv" else encode_json(notice, strict)
        )
        assert line.count(b"\n") == 1
        assert live_outputs._notice_key(line) == f"{ID}/{seq}"
    if seq == 0:
        assert live_outputs._alert_key(encode_alert(hostile)) == f"{ID}/0"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"#close\t2026\n",
        b"{\n",
        b"{}\n",
        b"[1]\n",
        b"null\n",
        b"\xff\xfe\t\n",
        b'{"sub":5}\n',
        b'{"sub":"[]"}\n',
        b'{"a":' * 100_000 + b"\n",
        b'{"sub":"' + b"[" * 100_000 + b'"}\n',
        b'{"n":' + b"9" * 5000 + b"}\n",
        b'{"alert":{"metadata":{"zeekml_id":[]}}}\n',
        b'{"alert":{"metadata":{"zeekml_id":{}}}}\n',
        b'{"alert":[]}\n',
        b"\t".join([b"x"] * 20) + b"\n",
    ],
)
def test_what_is_no_line_of_ours_has_no_key(line: bytes) -> None:
    assert live_outputs._notice_key(line) is None
    assert live_outputs._alert_key(line) is None


def test_headers_have_no_key() -> None:
    for strict in (False, True):
        for line in TsvEncoder(0.0, strict).header().splitlines(keepends=True):
            assert live_outputs._notice_key(line) is None


@pytest.mark.parametrize(("before", "strict_before"), FORMS)
@pytest.mark.parametrize(("after", "strict_after"), FORMS)
def test_a_crash_between_flush_and_commit(
    tmp_path: Path, before: str, strict_before: bool, after: str, strict_after: bool
) -> None:
    old = OutputOptions(notice_format=before, strict_notice=strict_before)
    first = opened(tmp_path, options=old)
    first.add_notices(notices((1, 0), (2, 0)))
    first.flush()
    marks = first.marks
    first.committed()
    first.add_notices(notices((1, 1), (3, 0)))
    first.add_health([HEALTH])
    first.rejects.add("conn.log", 7, "bad_value", b"\x1b[31m")
    first.flush()
    first.close()

    new = OutputOptions(notice_format=after, strict_notice=strict_after)
    second = opened(tmp_path, marks, new)
    second.add_notices(notices((1, 1), (3, 0), (3, 1)))
    second.rejects.add("conn.log", 7, "bad_value", b"\x1b[31m")
    second.rejects.add("conn.log", 8, "bad_value", b"")
    second.flush()
    second.close()
    keys = [f"{n:024x}/{seq}" for n, seq in ((1, 0), (2, 0), (1, 1), (3, 0), (3, 1))]
    assert written(tmp_path) == Counter(keys)
    alerts = (tmp_path / EVE_JSON).read_text().splitlines()
    assert Counter(live_outputs._alert_key(line.encode()) for line in alerts[1:]) == Counter(
        key for key in keys if key.endswith("/0")
    )
    rejects = [json.loads(line) for line in (tmp_path / REJECTS).read_text().splitlines()]
    assert [(r["line"], r["excerpt"]) for r in rejects] == [(7, "\\x1b[31m"), (8, "")]
    if after == "tsv":
        check_rows(tmp_path / NOTICE_LOG)


def check_rows(path: Path) -> None:
    """Every row in TSV has the columns that the header before it names."""
    names: list[str] | None = None
    headers = 0
    for line in path.read_text().splitlines():
        cells = line.split("\t")
        if cells[0] == "#fields":
            names = cells[1:]
            headers += 1
        elif not line.startswith(("#", "{")):
            assert names is not None
            assert len(cells) == len(names)
    assert 1 <= headers <= 2


def test_a_header_comes_again_only_where_columns_change(tmp_path: Path) -> None:
    for strict, headers in ((False, 1), (False, 1), (True, 2), (True, 2), (False, 3)):
        outputs = opened(tmp_path, options=OutputOptions(notice_format="tsv", strict_notice=strict))
        outputs.flush()
        text = (tmp_path / NOTICE_LOG).read_text()
        assert text.count("#fields") == headers
        outputs.add_notices([NOTICE])
        outputs.flush()
        outputs.close()


def test_rotated_between_crash_and_start(tmp_path: Path) -> None:
    first = opened(tmp_path)
    marks = first.marks
    first.add_notices(notices((1, 0), (1, 1), (2, 0)))
    first.flush()
    first.close()
    for name in (NOTICE_LOG, EVE_JSON):
        (tmp_path / name).rename(tmp_path / f"{name}.1")
    second = opened(tmp_path, marks)
    second.add_notices(notices((1, 0), (1, 1), (2, 0), (2, 1)))
    second.flush()
    second.close()
    keys = [f"{n:024x}/{seq}" for n, seq in ((1, 0), (1, 1), (2, 0), (2, 1))]
    assert written(tmp_path, f"{NOTICE_LOG}.1") == Counter(keys)
    assert len((tmp_path / EVE_JSON).read_bytes().splitlines()) == 1


def test_all_files_are_closed_where_one_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / REJECTS).mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OutputError, match=REJECTS):
        opened(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def scored(originals: list[bytes | None] | None) -> ScoredBatch:
    n = 3 if originals is None else len(originals)
    rows = [
        {
            "ts": 1.7e9 + i,
            "id.orig_h": "10.0.0.1",
            "id.resp_h": "10.0.0.2",
            "proto": "tcp",
            "sensor": "suricata",
            "source": "eve.json",
            "line": i,
        }
        for i in range(n)
    ]
    flows = pa.Table.from_pylist(rows, FLOW_SCHEMA).combine_chunks().to_batches()[0]
    if originals is not None:
        flows = flows.append_column(ORIGINAL_FIELD, pa.array(originals, ORIGINAL_FIELD.type))
    zeros = np.zeros(n)
    scores = Scores(
        score=np.arange(n) / 10,
        threat=np.full(n, -1, np.int8),
        spread=zeros,
        classes=np.zeros((n, 7), np.float32),
        members=np.zeros((n, 5), np.float32),
        log_odds=zeros,
    )
    none = np.zeros(0)
    candidates = Candidates(
        flows=candidate_flows(flows, np.zeros(0, np.intp)),
        row=np.zeros(0, np.int64),
        clock=none,
        end=none,
        score=none,
        spread=none,
        threat=none.astype(np.int8),
        classes=np.zeros((0, 7), np.float32),
        members=np.zeros((0, 5), np.float32),
        matrix=np.zeros((0, 0), np.float32),
        enough=none.astype(np.uint8),
    )
    return ScoredBatch(flows, scores, candidates, 1.7e9, np.zeros(0, CONTACT))


@pytest.fixture
def enriched(tmp_path: Path) -> Iterator[LiveOutputs]:
    outputs = opened(tmp_path, options=OutputOptions(enriched=True))
    yield outputs
    outputs.close()


def test_records_whose_original_is_unknown_are_left_out(
    tmp_path: Path, enriched: LiveOutputs
) -> None:
    assert enriched.add_batch(scored([b'{"uid":"A"}', None, b'{"uid":"C"}'])) == 1
    assert enriched.add_batch(scored(None)) == 3
    assert enriched.add_batch(scored([b'{"uid":"D"}'])) == 0
    enriched.flush()
    records = [json.loads(line) for line in (tmp_path / ENRICHED).read_text().splitlines()]
    assert [(r["uid"], r["zeekml_score"]) for r in records] == [("A", 0.0), ("C", 0.2), ("D", 0.0)]


def test_enriched_records_come_once(tmp_path: Path, enriched: LiveOutputs) -> None:
    marks = enriched.marks
    enriched.add_batch(scored([b'{"uid":"A"}', b'{"uid":"B"}']))
    enriched.flush()
    enriched.close()
    again = opened(tmp_path, marks, OutputOptions(enriched=True))
    again.add_batch(scored([b'{"uid":"A"}', b'{"uid":"B"}', b'{"uid":"C"}']))
    again.flush()
    again.close()
    records = [json.loads(line) for line in (tmp_path / ENRICHED).read_text().splitlines()]
    assert [r["uid"] for r in records] == ["A", "B", "C"]


def test_enriched_records_only_where_they_are_wanted(tmp_path: Path) -> None:
    outputs = opened(tmp_path)
    assert outputs.add_batch(scored(None)) == 0
    outputs.flush()
    outputs.close()
    assert {path.name for path in tmp_path.iterdir()} == {NOTICE_LOG, EVE_JSON, SILENCED, REJECTS}
    assert set(outputs.marks) == {NOTICE_LOG, EVE_JSON, SILENCED, REJECTS}


def test_lines_of_a_file_removed_before_the_commit_are_written_again(tmp_path: Path) -> None:
    outputs = opened(tmp_path)
    outputs.add_notices(notices((1, 0)))
    outputs.flush()
    (tmp_path / NOTICE_LOG).unlink()
    outputs.flush()
    assert written(tmp_path) == Counter([f"{1:024x}/0"])
    outputs.committed()
    (tmp_path / NOTICE_LOG).unlink()
    outputs.flush()
    outputs.close()
    assert written(tmp_path) == Counter()


def test_what_is_asked_for_once_more_is_a_line_of_its_own(tmp_path: Path) -> None:
    """A reject that reads like one that is there already, after all that was read is through."""
    first = opened(tmp_path)
    marks = first.marks
    first.rejects.add("conn.log", 1, "bad_value", b"x")
    first.flush()
    first.close()
    second = opened(tmp_path, marks)
    second.forget_already()
    second.rejects.add("conn.log", 1, "bad_value", b"x")
    second.flush()
    second.close()
    assert len((tmp_path / REJECTS).read_text().splitlines()) == 2


def test_keys_of_lines_differ() -> None:
    assert line_key(b"a\n") != line_key(b"b\n")
    assert len(NOTICE_COLUMNS) != len(TsvEncoder(0.0, strict=True).encode(NOTICE).split(b"\t"))

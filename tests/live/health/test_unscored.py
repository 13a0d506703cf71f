"""What a watch that scores nothing says of its log."""

from __future__ import annotations

import pytest

from zeekml.live.health.figures import StreamFigures, UnscoredReject
from zeekml.live.health.unscored import unscored
from zeekml.readers.rejects import BAD_VALUE, COLUMN_COUNT, MISSING_FIELD


@pytest.mark.parametrize(
    ("sensor", "skipped", "what", "remedy"),
    [
        ("suricata", {"alert": 1200, "drop": 3}, "alert 1,200, drop 3", "list `- flow`"),
        ("suricata", {"netflow": 9}, "netflow 9", "one record per direction"),
        ("suricata", {"stats": 450}, "stats 450", "whether it gets traffic"),
        ("zeek", {"http": 4}, "http 4", "conn.log"),
    ],
)
def test_other_types(sensor: str, skipped: dict[str, int], what: str, remedy: str) -> None:
    finding = unscored(7200.0, StreamFigures(sensor, skipped=skipped), ever=False)
    assert finding.msg.startswith("no flow for 2 h: ")
    assert what in finding.msg
    assert remedy in finding.sub
    assert finding.details["skipped"] == sum(skipped.values())


def test_many_types_are_not_all_listed() -> None:
    skipped = {f"type{n}": 100 - n for n in range(30)}
    finding = unscored(60.0, StreamFigures("suricata", skipped=skipped), ever=False)
    assert "type7 93 and 22 more types" in finding.msg


def test_lines_that_cannot_be_read() -> None:
    reject = UnscoredReject("/l/conn.log", 12, BAD_VALUE, b"1.5\tC1\tno\x1b]address\t443")
    rejected = {BAD_VALUE: 900, COLUMN_COUNT: 2}
    instead = StreamFigures(
        "zeek",
        skipped={"dns": 3},
        rejected=rejected,
        formats=("zeek_tsv",),
        reject=reject,
    )
    finding = unscored(None, instead, ever=False)
    assert finding.msg == (
        "nothing was scored: read as zeek_tsv, 902 of 905 lines cannot be read "
        "(bad_value 900, column_count 2)"
    )
    assert finding.sub.startswith("line 12 of /l/conn.log (bad_value): 1.5\\x09C1\\x09no\\x1b]addr")


@pytest.mark.parametrize(
    ("sensor", "line", "missing"),
    [
        ("zeek", b'{"ts":1.5,"id_orig_h":"10.0.0.1","id.resp_h":"10.0.0.2"}', "proto"),
        ("zeek", b'{"@timestamp":"x","source":{"ip":"10.0.0.1"}}', "ts, id.orig_h"),
        ("suricata", b'{"event_type":"flow","src_ip":"10.0.0.1","proto":"TCP"}', "flow, dest_ip"),
    ],
)
def test_fields_that_are_missing_are_named(sensor: str, line: bytes, missing: str) -> None:
    reject = UnscoredReject("x.log", 1, MISSING_FIELD, line)
    instead = StreamFigures(sensor, rejected={MISSING_FIELD: 1}, reject=reject)
    assert f"it lacks {missing}" in unscored(60.0, instead, ever=False).sub


def test_flows_that_were_switched_off() -> None:
    instead = StreamFigures("suricata", skipped={"dns": 4})
    assert "flows came before" in unscored(60.0, instead, ever=True).sub

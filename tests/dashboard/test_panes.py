"""What the panes say."""

from __future__ import annotations

from zeekml.dashboard.panes import evidence_rows
from zeekml.triage.lookup import ExplainedLine
from zeekml.triage.text import severity_words


def test_flows_that_opened_an_incident() -> None:
    flow = {
        "ts": 1_700_000_000.0,
        "uid": "C1",
        "id.orig_h": "192.0.2.1",
        "id.orig_p": 4000,
        "id.resp_h": "10.0.0.1",
        "id.resp_p": 22,
        "proto": "tcp",
        "service": None,
        "score": 0.25,
    }
    line = ExplainedLine({"zeekml_id": "a"}, {"members": [0.125, 0.5], "related": [flow]})
    text = "\n".join(row.plain for row in evidence_rows([line]))
    assert "0.125  0.500" in text
    assert "2023-11-14 22:13:20  0.250  192.0.2.1 4000 to 10.0.0.1 22  tcp   uid C1" in text


def test_words_for_where_there_is_no_colour() -> None:
    assert [severity_words(s) for s in ("critical", "low")] == ["critical !!!", "low ."]

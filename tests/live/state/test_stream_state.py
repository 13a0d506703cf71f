from __future__ import annotations

import json
from collections import Counter

from zeekml.live.state.database import StreamState, decode_record
from zeekml.readers.rejects import ReadCounters


def test_a_record_comes_back_as_it_was() -> None:
    counters = ReadCounters(records_read=5, accepted=4, rejected=Counter(bad_json=1))
    counters.values_unknown["id.orig_p"] = 3
    record = StreamState(counters=counters, notices=Counter({"ZeekML::Scan": 2}))
    assert decode_record(record.encode()) == record


def test_what_is_stored_keeps_its_names() -> None:
    stored = json.loads(StreamState(release=True).encode())
    assert {name for name, value in stored.items() if value is True} == {"let_go"}
    assert decode_record(b'{"let_go":true}').release


def test_a_record_of_an_earlier_release_is_read() -> None:
    stored = json.loads(StreamState(counters=ReadCounters(records_read=5, accepted=5)).encode())
    del stored["counters"]["values_unknown"]
    stored["counters"]["clamped"] = 2
    found = decode_record(json.dumps(stored).encode()).counters
    assert (found.records_read, found.values_unknown) == (5, Counter())

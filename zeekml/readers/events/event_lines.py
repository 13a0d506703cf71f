"""Lines of Suricata's events as packed events: the usual ones as columns, the others one by one.

What comes of a line does not depend on which way it goes, see `eve_events`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.readers.events import eve_events
from zeekml.readers.events._eve_events import pack_lines
from zeekml.readers.events._packed_events import pack
from zeekml.readers.events.event_schema import KINDS
from zeekml.readers.events.flow_memory import Told
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats._json_scanner import OBJECT, TEXT, WHOLE
from zeekml.readers.formats.json_columns import Ints, PlainLines, make_keys

# in the order of `_eve_events`
_RULES: Final = {
    "flow_id": WHOLE,
    "timestamp": TEXT,
    "event_type": TEXT,
    **dict.fromkeys(KINDS, OBJECT),
    "dns/type": TEXT,
    "dns/rrname": TEXT,
    "dns/rrtype": TEXT,
    "dns/rcode": TEXT,
    "http/hostname": TEXT,
    "http/http_method": TEXT,
    "http/url": TEXT,
    "http/http_user_agent": TEXT,
    "http/http_refer": TEXT,
    "http/http_content_type": TEXT,
    "http/status": WHOLE,
    "tls/sni": TEXT,
    "tls/version": TEXT,
    "tls/subject": TEXT,
    "tls/issuerdn": TEXT,
    "tls/notbefore": TEXT,
    "tls/notafter": TEXT,
    "dns/answers": OBJECT,
    "dns/queries": OBJECT,
    "dns/grouped": OBJECT,
    "dns/rdata": TEXT,
}
_PLAIN: Final = list(_RULES), make_keys(_RULES, objects=KINDS)


def packed_events(block: Block, lines: Ints) -> Told:
    """The events of those lines (n, 3) of a block that are known to tell of some.

    Each line has its start, end and number from 0. Events without a flow are left out.
    """
    plain = PlainLines(block, *_PLAIN, lines)
    plain.read_moments("timestamp")
    events = pack_lines(*plain.scanned, plain.numbers("timestamp"))
    has_flow = plain.has("flow_id")
    flows = plain.values("flow_id").tolist()
    usual = [event for event in events if event is not None]
    if len(usual) == len(lines) and has_flow.all():
        return Told(plain.lines, flows, usual)
    found: list[tuple[int, int, bytes]] = []
    others = [(number, text) for _, number, text, _ in plain.others()]
    every = zip(plain.lines.tolist(), flows, events, has_flow.tolist(), strict=True)
    for row, (number, flow, event, has) in enumerate(every):
        if has and event is not None:
            found.append((number, flow, event))
        elif has:
            others.append((number, plain[row]))
    for number, text in others:
        own, more = eve_events.protocol_events(text)
        if own is not None:
            found += [(number, own, pack(event)) for event in more]
    found.sort(key=lambda each: each[0])
    in_order = [list(each) for each in zip(*found, strict=True)] or [[], [], []]
    return Told(np.array(in_order[0], np.int64), in_order[1], in_order[2])

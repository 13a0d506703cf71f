"""The one shape every reader brings events into.

An event is what a sensor logs of one exchange inside a flow: a query and its answer, a request and
its response, a handshake. Names are those of Zeek's logs where it has one. A null always means that
the sensor did not say.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

DNS: Final = "dns"
HTTP: Final = "http"
TLS: Final = "tls"
KINDS: Final = (DNS, HTTP, TLS)

MOST_OF_A_FLOW: Final = 8
"""Events kept of each kind and flow: the first ones."""

LONGEST_TEXT: Final = 255
"""Characters kept of a text; no name that DNS can hold is longer."""

EVENT: Final = pa.struct(
    [
        pa.field("kind", pa.string(), nullable=False),  # one of KINDS
        pa.field("ts", pa.float64()),  # epoch seconds
        # what was asked for: the query, the host of the request, or the server name of the
        # handshake; in lower case, without the dot at its end
        pa.field("name", pa.string()),
        pa.field("query_type", pa.string()),  # of dns: A, TXT, …
        pa.field("rcode", pa.string()),  # of dns: NOERROR, NXDOMAIN, …; null if nobody answered
        pa.field("answers", pa.list_(pa.string())),  # of dns: the addresses among the answers
        pa.field("ttl", pa.float64()),  # of dns: the shortest of the answers, seconds
        pa.field("method", pa.string()),  # of http
        pa.field("uri", pa.string()),  # of http
        pa.field("user_agent", pa.string()),  # of http
        pa.field("referrer", pa.string()),  # of http
        pa.field("mime_type", pa.string()),  # of http: of the response
        pa.field("status", pa.int16()),  # of http
        pa.field("version", pa.string()),  # of tls: TLSv12, …
        pa.field("subject", pa.string()),  # of tls: of the server's certificate
        pa.field("issuer", pa.string()),  # of tls: who signed it
        pa.field("not_valid_before", pa.float64()),  # of tls: epoch seconds
        pa.field("not_valid_after", pa.float64()),
    ]
)

EVENTS: Final = pa.list_(EVENT)
"""Of a flow, in order."""

CONTEXT_HOLD: Final = 60.0
"""Seconds of log time by which a log of events may be ahead of the connections it tells of."""

BRING: Final = "would name what flows were about, and give away infections that flows alone do not"
"""What events are good for, after what is missing."""

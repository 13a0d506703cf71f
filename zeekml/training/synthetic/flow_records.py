"""Plausible flow records from what an episode sends: packet and byte arithmetic of TCP and UDP.

A connection of a given payload costs a given number of packets: the handshake, one segment per
1,448 bytes, an acknowledgement for every second segment of the other side, the close. Records
made here keep to that, so that no network can tell a synthetic record by impossible numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
FloatLike = float | FloatArray
Texts = str | Sequence[str] | npt.NDArray[np.object_]
FlowRecords = dict[str, Array]
"""Flow records as columns: numbers float64 (NaN = missing), texts objects (None = missing)."""

Ends = tuple[Texts, Texts, float | Array, str | None]
"""Originator, responder and its port, each one for all flows or one per flow, and the service."""

_SEGMENT: Final = 1448
_DATAGRAM: Final = 1200
_UDP_HEADERS: Final = 28
_PLAIN_HEADERS: Final = 40
_TIMESTAMP_HEADERS: Final = 52
_SYN_PACKET: Final = 60
# a SYN nobody answers is repeated after 1, 2, 4 … seconds (RFC 6298)
_RETRY_SECONDS: Final = np.array([np.nan, 1.0, 3.0, 7.0, 15.0, 31.0])

# by state: the history, and packets that originator and responder do not send because the
# connection was not closed in the usual way
_STATES: Final = {
    "SF": ("ShADadFf", 0, 0),
    "S1": ("ShADad", 2, 1),
    "S2": ("ShADadF", 1, 1),
    "S3": ("ShADadf", 1, 0),
    "RSTO": ("ShADadR", 1, 1),
    "RSTR": ("ShADadr", 2, 0),
    "S0": ("S", 0, 0),
    "REJ": ("Sr", 0, 0),
}


def tcp(
    rng: np.random.Generator,
    times: Array,
    ends: Ends,
    *,
    sent: FloatLike,
    received: FloatLike,
    duration: FloatLike,
    state: Texts = "SF",
    exchanges: int = 1,
) -> FlowRecords:
    """TCP connections whose first packets are sent at `times`, in epoch seconds.

    What is an array has a value per connection. `sent` and `received` are payload bytes, taken as
    zero where nobody answered; the service is set only where payload was exchanged; `duration`
    (seconds) is ignored where the state, one of ``_STATES``, fixes it. `exchanges` are requests
    answered within one connection; each costs at least a segment per side.
    """
    n = len(times)
    states = _texts(state, n)
    unanswered = (states == "S0") | (states == "REJ")
    out = np.where(unanswered, 0.0, np.rint(_numbers(sent, n)))
    back = np.where(unanswered, 0.0, np.rint(_numbers(received, n)))
    out_segments = np.where(out > 0, np.maximum(np.ceil(out / _SEGMENT), exchanges), 0)
    back_segments = np.where(back > 0, np.maximum(np.ceil(back / _SEGMENT), exchanges), 0)

    # SYN and two acknowledgements, close; the habit of delaying acknowledgements varies by host
    delay = rng.uniform(1.0, 3.0)
    spare = rng.integers(0, 3)
    orig_pkts = 3 + out_segments + np.ceil(back_segments / delay) + spare
    resp_pkts = 2 + back_segments + np.ceil(out_segments / delay) + spare
    for name, (_, fewer_orig, fewer_resp) in _STATES.items():
        chosen = states == name
        orig_pkts[chosen] = np.maximum(orig_pkts[chosen] - fewer_orig, 2 + out_segments[chosen])
        resp_pkts[chosen] = np.maximum(resp_pkts[chosen] - fewer_resp, 1 + back_segments[chosen])
    header = _TIMESTAMP_HEADERS if rng.random() < 0.5 else _PLAIN_HEADERS
    orig_bytes = out + header * (orig_pkts - 1) + _SYN_PACKET
    resp_bytes = back + header * (resp_pkts - 1) + _SYN_PACKET
    seconds = np.maximum(_numbers(duration, n), 1e-5)

    tries = rng.integers(1, 5) + np.zeros(n, dtype=np.int64)
    silent, refused = states == "S0", states == "REJ"
    orig_pkts = np.where(silent, tries, np.where(refused, 1, orig_pkts))
    resp_pkts = np.where(silent, 0, np.where(refused, 1, resp_pkts))
    orig_bytes = np.where(unanswered, _SYN_PACKET * orig_pkts, orig_bytes)
    resp_bytes = np.where(silent, 0, np.where(refused, _PLAIN_HEADERS, resp_bytes))
    seconds = np.where(silent, _RETRY_SECONDS[tries - 1], seconds)
    seconds = np.where(refused, np.minimum(seconds, rng.uniform(1e-4, 0.2)), seconds)

    services = np.full(n, None, dtype=object)
    services[(out + back > 0) & ~unanswered] = ends[3]
    history = np.array([_STATES[s][0] for s in states], dtype=object)
    sides = (out, orig_pkts, orig_bytes), (back, resp_pkts, resp_bytes)
    return _rows(rng, times, ends, ("tcp", services, states, history), seconds, sides)


def half_open(rng: np.random.Generator, times: Array, ends: Ends, outcome: Array) -> FlowRecords:
    """Lone SYNs: what SYN scanners and SYN floods leave.

    Each `outcome` is ``open`` (SYN-ACK, answered by a reset), ``closed`` (reset) or ``silent``.
    """
    n = len(times)
    answered, closed = outcome == "open", outcome == "closed"
    syn = float(rng.choice([40, 44, 60]))
    orig_pkts = np.where(answered, 2.0, 1.0)
    resp_pkts = np.where(answered | closed, 1.0, 0.0)
    orig_bytes = syn + np.where(answered, _PLAIN_HEADERS, 0.0)
    resp_bytes = np.where(answered, 44.0, np.where(closed, 40.0, 0.0))
    state = np.full(n, "S0", dtype=object)
    state[answered], state[closed] = "RSTO", "REJ"
    history = np.full(n, "S", dtype=object)
    history[answered], history[closed] = "ShR", "Sr"
    seconds = np.where(answered | closed, rng.uniform(1e-5, 0.1), np.nan)
    sides = (np.zeros(n), orig_pkts, orig_bytes), (np.zeros(n), resp_pkts, resp_bytes)
    nothing = np.full(n, None, dtype=object)
    return _rows(rng, times, ends, ("tcp", nothing, state, history), seconds, sides)


def udp(
    rng: np.random.Generator,
    times: Array,
    ends: Ends,
    *,
    sent: FloatLike,
    received: FloatLike,
    duration: FloatLike,
) -> FlowRecords:
    """UDP flows; a flow with nothing received counts as unanswered (``S0``)."""
    n = len(times)
    out = np.maximum(np.rint(_numbers(sent, n)), 1)
    back = np.maximum(np.rint(_numbers(received, n)), 0)
    orig_pkts = np.ceil(out / _DATAGRAM)
    resp_pkts = np.ceil(back / _DATAGRAM)
    alone = (orig_pkts == 1) & (resp_pkts == 0)
    seconds = np.where(alone, np.nan, np.maximum(_numbers(duration, n), 1e-5))
    state, history = np.full(n, "SF", dtype=object), np.full(n, "Dd", dtype=object)
    state[back == 0], history[back == 0] = "S0", "D"
    sides = (
        (out, orig_pkts, out + _UDP_HEADERS * orig_pkts),
        (back, resp_pkts, back + _UDP_HEADERS * resp_pkts),
    )
    return _rows(rng, times, ends, ("udp", _texts(ends[3], n), state, history), seconds, sides)


def _rows(
    rng: np.random.Generator,
    times: Array,
    ends: Ends,
    kind: tuple[str, Array, Array, Array],
    duration: Array,
    sides: tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]],
) -> FlowRecords:
    """Records of whatever protocol.

    `kind` is protocol, service, state and history; `sides` are payload, packets and bytes on the
    wire of originator and responder.
    """
    n = len(times)
    proto, service, state, history = kind
    columns: FlowRecords = {
        "ts": np.round(np.asarray(times, dtype=np.float64), 6),
        "id.orig_h": _texts(ends[0], n),
        "id.orig_p": rng.integers(1025, 65536, n).astype(np.float64),
        "id.resp_h": _texts(ends[1], n),
        "id.resp_p": _numbers(ends[2], n),
        "proto": _texts(proto, n),
        "service": service,
        "duration": np.round(duration, 6),
        "conn_state": state,
        "history": history,
    }
    for side, counts in zip(("orig", "resp"), sides, strict=True):
        for name, values in zip(("bytes", "pkts", "ip_bytes"), counts, strict=True):
            columns[f"{side}_{name}"] = values.astype(np.float64)
    return columns


def _numbers(value: float | Array, n: int) -> FloatArray:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)).copy()


def _texts(value: Texts | None, n: int) -> Array:
    out = np.empty(n, dtype=object)
    if value is None or isinstance(value, str):
        out.fill(value)
    else:
        out[:] = list(value)
    return out


def join(parts: Sequence[FlowRecords]) -> FlowRecords:
    """The rows of all `parts`, in that order."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

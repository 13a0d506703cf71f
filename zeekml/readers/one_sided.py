"""Flows of which the sensor took only one side's packets, although both sides must have talked.

Such flows come of a mirror port or a route with one direction, of lost packets, and of checksums
that the network card fills in after the sensor has seen the packet (offloading), for which sensors
pass packets over. Their scores are worth little: every conversation looks like an unanswered one.

What a real network has plenty of in full view is none: SYNs without an answer (S0, which scans are
made of), refused ones (REJ), lone SYN-ACKs and resets of somebody else's spoofed flood, probes
without a SYN, and what is left of a session that was forgotten or whose peer is gone. Hence, of a
TCP flow with packets of one side alone, one of these is asked for:

==========  ========================================================================================
state       SH, RSTOS0 (no SYN-ACK seen after which the client went on), SHR, RSTRH (no SYN seen),
            over two packets or more, and with a SYN or SYN-ACK if there is a history: Zeek gives
            these states to resets and FINs without one, too
history     a SYN or SYN-ACK, and an ACK, data or a FIN of the same side, which follow an answer
packets     `STREAM` or more in any state but S0 and REJ: more than retries without an answer are
==========  ========================================================================================

Suricata counts packets whose checksum is wrong, but takes no flags from them: with SH and RSTOS0,
it does not matter whether there are packets of the server.

Of UDP, it is a flow with packets of the responder alone: an answer whose question was not seen,
unless that was sent to a whole network (`ASKED_OF_ALL`). Other protocols are not looked at.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.readers.flow_schema import SURICATA

STREAM: Final = 20
"""Packets of one side that are a stream; TCP gives up sending again after 15 in vain."""

ASKED_OF_ALL: Final = (67, 137, 5353, 5355)
"""Ports of servers that answer questions to all hosts: DHCP, NetBIOS names, mDNS and LLMNR."""

FEW: Final = 100  # flows of TCP and UDP below which nothing is said about their share
TOO_MANY: Final = 0.1  # share of one-sided flows above which something is wrong with the sensor

CAUSES: Final = (
    "the sensor gets one direction of the traffic (a mirror port of one side, asymmetric routes), "
    "loses packets, or passes over those whose checksums the network card fills in later"
)
REMEDY: Final = (
    "mirror both directions to one sensor; where it watches its own host's traffic, switch "
    "offloading off (ethtool -K IFACE rx off tx off gso off tso off gro off) or checksums unheeded "
    "(Zeek: redef ignore_checksums = T; Suricata: stream.checksum-validation: no and the capture's "
    "checksum-checks: no)"
)

_OPENED: Final = ("SH", "RSTOS0")
_UNASKED: Final = ("SHR", "RSTRH")
_IN_VAIN: Final = ("S0", "REJ")
_HANDSHAKE: Final = "[SsHh]"
_WENT_ON: Final = "[AaDdFf]"

BoolArray = npt.NDArray[np.bool_]


def judged_sides(flows: pa.RecordBatch) -> BoolArray:
    """One-sided flows (n,) among the n of TCP and UDP whose packets are known on both sides.

    The flows are a batch of `FLOW_SCHEMA`; those n keep their order.
    """
    proto = flows.column("proto")
    tcp, udp = (_array(pc.equal(proto, name)) for name in ("tcp", "udp"))
    sent, received = (_numbers(flows, name) for name in ("orig_pkts", "resp_pkts"))
    known = (tcp | udp) & (sent >= 0) & (received >= 0)
    found = udp & (sent == 0) & (received > 0)
    if found.any():
        found &= ~np.isin(_numbers(flows, "id.resp_p"), ASKED_OF_ALL)
    packets = sent + received
    alone = (sent == 0) != (received == 0)
    sensor = flows.column("sensor")
    by_suricata = _is_in(sensor.dictionary, (SURICATA,))[sensor.indices.to_numpy()]
    rows = np.flatnonzero(known & tcp & (alone | by_suricata) & (packets >= 2))
    if len(rows):
        some = flows.select(["conn_state", "history"]).take(pa.array(rows))
        state, history = some.column("conn_state"), some.column("history")
        opened, unasked, vain = (_is_in(state, of) for of in (_OPENED, _UNASKED, _IN_VAIN))
        handshake, went_on = (_matches(history, of) for of in (_HANDSHAKE, _WENT_ON))
        told = _array(history.is_valid())
        by_state = (opened & (alone | by_suricata)[rows]) | (unasked & alone[rows])
        by_history = alone[rows] & handshake & went_on & ~_is_in(state, ("REJ",))
        stream = alone[rows] & ~vain & (packets[rows] >= STREAM)
        found[rows] = (by_state & (handshake | ~told)) | by_history | stream
    return found[known]


def too_many(one_sided: int, of: int) -> bool:
    """Whether so many of the judged flows tell that the sensor does not see both sides."""
    return of >= FEW and one_sided > TOO_MANY * of


def _array(mask: pa.BooleanArray) -> BoolArray:
    """A mask (n,) in which null counts as false."""
    filled = pc.fill_null(mask, False) if mask.null_count else mask
    found: BoolArray = filled.to_numpy(zero_copy_only=False)
    return found


def _numbers(flows: pa.RecordBatch, name: str) -> npt.NDArray[np.int64]:
    """A column of numbers (n,), -1 where it is not known."""
    column = flows.column(name)
    found: npt.NDArray[np.int64]
    found = (pc.fill_null(column, -1) if column.null_count else column).to_numpy()
    return found


def _is_in(texts: pa.StringArray, wanted: tuple[str, ...]) -> BoolArray:
    return _array(pc.is_in(texts, pa.array(wanted, pa.string())))


def _matches(texts: pa.StringArray, pattern: str) -> BoolArray:
    return _array(pc.match_substring_regex(texts, pattern))

"""Counting in the rows of hosts, pairs and services, small or large (compiled)."""

from __future__ import annotations

from zeekml.core.jit import compiled, signed
from zeekml.features.context import layout
from zeekml.features.context.keys import enlarge_host
from zeekml.features.context.layout import LAST, NONE, ContextState, Rows


@compiled
def counted(c: ContextState, slot: int, entry: int) -> int:
    """A counter of a host."""
    row = c.host.rows[slot]
    if row.large == NONE:
        return signed(row.n[entry])
    return signed(c.large_host.rows[row.large].n[entry])


@compiled
def _count_out(
    rows: Rows, at: int, window: int, by: int, failed: int, host: int, port: int, first: int
) -> None:
    n, out = rows[at].n, window * layout.HOST_WINDOW
    n[out + layout.OUT_FLOWS] += by
    n[out + layout.OUT_FAILED] += failed
    n[out + layout.OUT_HOSTS] += host
    n[out + layout.OUT_PORTS] += port
    n[out + layout.OUT_FIRST] += first


@compiled
def _count_in(
    rows: Rows, at: int, window: int, by: int, failed: int, payload: int, host: int, port: int
) -> None:
    n, out = rows[at].n, window * layout.HOST_WINDOW
    n[out + layout.IN_FLOWS] += by
    n[out + layout.IN_FAILED] += failed
    n[out + layout.IN_HOSTS] += host
    n[out + layout.IN_PORTS] += port
    rows[at].bytes[window] += payload


@compiled
def count_source(
    c: ContextState, at: int, window: int, by: int, failed: int, host: int, port: int, first: int
) -> None:
    """Count a record of a host as source, by its row's size."""
    large = c.host.rows[at].large
    if large == NONE:
        _count_out(c.host.rows, at, window, by, failed, host, port, first)
    else:
        _count_out(c.large_host.rows, large, window, by, failed, host, port, first)


@compiled
def count_target(
    c: ContextState, at: int, window: int, by: int, failed: int, payload: int, host: int, port: int
) -> None:
    """Count a record to a host, by its row's size."""
    large = c.host.rows[at].large
    if large == NONE:
        _count_in(c.host.rows, at, window, by, failed, payload, host, port)
    else:
        _count_in(c.large_host.rows, large, window, by, failed, payload, host, port)


@compiled
def count_lookup(c: ContextState, slot: int, by: int) -> None:
    large = c.host.rows[slot].large
    if large == NONE:
        c.host.rows[slot].n[layout.HELD_LOOKUPS] += by
    else:
        c.large_host.rows[large].n[layout.HELD_LOOKUPS] += by


@compiled
def _count_in_pair(
    rows: Rows, at: int, window: int, by: int, failed: int, port: int, answer: int
) -> int:
    n, of_pair = rows[at].n, window * layout.PAIR_WINDOW
    n[of_pair + layout.FLOWS] += by
    n[of_pair + layout.FAILED] += failed
    n[of_pair + layout.PORTS] += port
    n[of_pair + layout.ANSWERS] += answer
    return signed(n[of_pair + layout.FLOWS])


@compiled
def count_pair(
    c: ContextState, state: int, at: int, window: int, by: int, failed: int, port: int, answer: int
) -> int:
    """Count a record of a pair, which is in this state at this row; its flows in the window."""
    if state == layout.SMALL_ROW:
        return _count_in_pair(c.pair.rows, at, window, by, failed, port, answer)
    if state == layout.LARGE_ROW:
        return _count_in_pair(c.large_pair.rows, at, window, by, failed, port, answer)
    return 0


@compiled
def _count_at_service(rows: Rows, at: int, window: int, by: int, failed: int, host: int) -> int:
    n, of_service = rows[at].n, window * layout.SERVICE_WINDOW
    n[of_service + layout.FLOWS] += by
    n[of_service + layout.FAILED] += failed
    n[of_service + layout.HOSTS] += host
    return signed(n[of_service + layout.FLOWS])


@compiled
def count_service(
    c: ContextState, state: int, at: int, window: int, by: int, failed: int, host: int
) -> int:
    """Count a record of a service, as `count_pair` does."""
    if state == layout.SMALL_ROW:
        return _count_at_service(c.service.rows, at, window, by, failed, host)
    if state == layout.LARGE_ROW:
        return _count_at_service(c.large_service.rows, at, window, by, failed, host)
    return 0


@compiled
def make_room_in_host(c: ContextState, slot: int, payload: int) -> None:
    """See to it that a host's row can count one more record."""
    row = c.host.rows[slot]
    if row.large == NONE and (
        row.n[layout.OUT_HELD] == layout.SMALL_MOST
        or row.n[layout.IN_HELD] == layout.SMALL_MOST
        or signed(row.bytes[LAST]) + payload > layout.SMALL_BYTES
    ):
        enlarge_host(c, slot)

"""Counting in the rows of hosts, pairs and services, small or large (compiled)."""

from __future__ import annotations

from zeekml.features.context.compiled import compiled, signed
from zeekml.features.context.keys import enlarge_host
from zeekml.features.context.state import (
    ANSWERS,
    FAILED,
    FLOWS,
    HELD_LOOKUPS,
    HOST_WINDOW,
    HOSTS,
    IN_FAILED,
    IN_FLOWS,
    IN_HOSTS,
    IN_PORTS,
    LAST,
    NONE,
    OUT_FAILED,
    OUT_FIRST,
    OUT_FLOWS,
    OUT_HOSTS,
    OUT_PORTS,
    PAIR_WINDOW,
    PORTS,
    SERVICE_WINDOW,
    SMALL_BYTES,
    SMALL_MOST,
    ContextState,
    Rows,
)


@compiled
def counted(c: ContextState, slot: int, entry: int) -> int:
    """A counter of a host."""
    row = c.host.rows[slot]
    if row.large == NONE:
        return signed(row.n[entry])
    return signed(c.large_host.rows[row.large].n[entry])


@compiled
def _count_out(
    rows: Rows, at: int, window: int, step: int, failed: int, host: int, port: int, first: int
) -> None:
    n, out = rows[at].n, window * HOST_WINDOW
    n[out + OUT_FLOWS] += step
    n[out + OUT_FAILED] += failed
    n[out + OUT_HOSTS] += host
    n[out + OUT_PORTS] += port
    n[out + OUT_FIRST] += first


@compiled
def _count_in(
    rows: Rows, at: int, window: int, step: int, failed: int, payload: int, host: int, port: int
) -> None:
    n, out = rows[at].n, window * HOST_WINDOW
    n[out + IN_FLOWS] += step
    n[out + IN_FAILED] += failed
    n[out + IN_HOSTS] += host
    n[out + IN_PORTS] += port
    rows[at].bytes[window] += payload


@compiled
def count_source(
    c: ContextState,
    slot: int,
    window: int,
    step: int,
    failed: int,
    host: int,
    port: int,
    first: int,
) -> None:
    large = c.host.rows[slot].large
    if large == NONE:
        _count_out(c.host.rows, slot, window, step, failed, host, port, first)
    else:
        _count_out(c.large_host.rows, large, window, step, failed, host, port, first)


@compiled
def count_target(
    c: ContextState,
    slot: int,
    window: int,
    step: int,
    failed: int,
    payload: int,
    host: int,
    port: int,
) -> None:
    large = c.host.rows[slot].large
    if large == NONE:
        _count_in(c.host.rows, slot, window, step, failed, payload, host, port)
    else:
        _count_in(c.large_host.rows, large, window, step, failed, payload, host, port)


@compiled
def count_lookup(c: ContextState, slot: int, step: int) -> None:
    large = c.host.rows[slot].large
    if large == NONE:
        c.host.rows[slot].n[HELD_LOOKUPS] += step
    else:
        c.large_host.rows[large].n[HELD_LOOKUPS] += step


@compiled
def count_first(c: ContextState, slot: int, window: int) -> None:
    """A pair of the source has another first record, which is in this window."""
    count_source(c, slot, window, 0, 0, 0, 0, 1)


@compiled
def count_pair(
    rows: Rows, at: int, window: int, step: int, failed: int, port: int, answer: int
) -> int:
    """Returns the pair's flows in the window."""
    n, of_pair = rows[at].n, window * PAIR_WINDOW
    n[of_pair + FLOWS] += step
    n[of_pair + FAILED] += failed
    n[of_pair + PORTS] += port
    n[of_pair + ANSWERS] += answer
    return signed(n[of_pair + FLOWS])


@compiled
def count_service(rows: Rows, at: int, window: int, step: int, failed: int, host: int) -> int:
    """Returns the service's flows in the window."""
    n, of_service = rows[at].n, window * SERVICE_WINDOW
    n[of_service + FLOWS] += step
    n[of_service + FAILED] += failed
    n[of_service + HOSTS] += host
    return signed(n[of_service + FLOWS])


@compiled
def make_room_in_host(c: ContextState, slot: int, payload: int) -> None:
    """See to it that a host's row can count one more record."""
    row, hour = c.host.rows[slot], LAST * HOST_WINDOW
    if row.large == NONE and (
        row.n[hour + OUT_FLOWS] == SMALL_MOST
        or row.n[hour + IN_FLOWS] == SMALL_MOST
        or signed(row.bytes[LAST]) + payload > SMALL_BYTES
    ):
        enlarge_host(c, slot)

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from zeekml.core.lazy_memory import CHUNK, Ring, new_slots, reserved
from zeekml.features.context import _table


def resident() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(r"RssAnon:\s+(\d+)", status)[0])


def test_what_is_never_written_takes_no_memory() -> None:
    before = resident()
    array = reserved(1 << 28, np.int64, dense=True)  # 2 GB
    assert array.shape == (1 << 28,)
    array[12345] = 1
    assert array[12345] == 1
    assert array[-1] == 0
    assert resident() - before < 100 << 20


def test_a_ring_gives_back_what_is_behind_its_tail_and_nothing_else() -> None:
    kind = np.dtype([("number", np.int64), ("rest", np.int64, (7,))])
    count = 1 << 18  # 8 chunks of 2 MB
    ring = Ring(count, kind)
    assert ring.entries.nbytes == 8 * CHUNK
    held, step = count - 100, 5000
    head = 0
    while head < 4 * count:
        # as the engine does: room first, then the oldest leave as others come
        ring.release(max(head - held, 0), head)
        numbers = np.arange(head, head + step)
        ring.entries["number"][numbers % count] = numbers
        head += step
        alive = np.arange(max(head - held, 0), head)
        np.testing.assert_array_equal(ring.entries["number"][alive % count], alive)
    before = resident()
    ring.release(head - 1000, head)
    assert before - resident() > 6 * CHUNK
    alive = np.arange(head - 1000, head)
    np.testing.assert_array_equal(ring.entries["number"][alive % count], alive)


def test_a_small_ring_is_a_plain_array() -> None:
    ring = Ring(4, np.dtype(np.int64))
    ring.entries[:] = [1, 2, 3, 4]
    ring.release(3, 4)
    assert ring.entries.tolist() == [1, 2, 3, 4]


def test_places_given_back_are_used_first() -> None:
    slots = new_slots(10)
    assert [_table.take(slots) for _ in range(3)] == [0, 1, 2]
    _table.give(slots, 1)
    assert slots.live == 2
    assert _table.take(slots) == 1
    assert _table.take(slots) == 3
    assert slots.live == 4

"""The table without keys against a dict, through adding, changing, removing and growing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.features.context.compact_hash_table import (
    CompactHashTable,
    erase,
    home,
    insert,
    larger,
    new_cells,
    next_alike,
    number_at,
    set_cell,
    state_at,
)

BITS = 8
# Hashes that differ in the part that a cell does not keep: all alike, and in few buckets. What a
# key is must be told by its number, as in the context by its record.
hashes = st.integers(0, 119).map(lambda n: np.uint64((n % 3) * 2**62 + (n % 2) * 2**31 + n))
steps = st.lists(st.tuples(st.sampled_from(["add", "add", "remove", "change"]), hashes))


def cell_of(table: CompactHashTable, key: np.uint64) -> int:
    """Keys are told apart by their numbers."""
    at = next_alike(table, key, home(table, key))
    while at >= 0 and number_at(table, at) != int(key) % 256:
        at = next_alike(table, key, at)
    return int(at)


def check(table: CompactHashTable, model: dict[int, int]) -> None:
    assert table.live == len(model)
    for n in range(120):
        key = np.uint64((n % 3) * 2**62 + (n % 2) * 2**31 + n)
        at = cell_of(table, key)
        assert (at >= 0) == (int(key) in model)
        if at >= 0:
            assert state_at(table, at) == model[int(key)]


@settings(max_examples=60, derandomize=True)
@given(st.lists(hashes, unique=True, max_size=60), steps)
def test_it_behaves_like_a_dict(
    first: list[np.uint64], operations: list[tuple[str, np.uint64]]
) -> None:
    table, model = new_cells(60, BITS), dict[int, int]()
    for operation, key in [*(("add", key) for key in first), *operations]:
        at, number = cell_of(table, key), int(key) % 256
        if operation == "add" and at < 0:
            if table.full_with(1):
                table = grown(table, model)
            at = insert(table, key, 1, number)
            assert cell_of(table, key) == at
            model[int(key)] = 1
        elif operation == "remove" and at >= 0:
            erase(table, key, at)
            del model[int(key)]
        elif operation == "change" and at >= 0:
            set_cell(table, at, 3, number)
            model[int(key)] = 3
    check(table, model)
    check(grown(table, model), model)
    for key_number in model:
        erase(table, np.uint64(key_number), cell_of(table, np.uint64(key_number)))
    assert not table.cells.any()


def grown(table: CompactHashTable, model: dict[int, int]) -> CompactHashTable:
    result = larger(table, 1)
    assert len(result.cells) >= len(table.cells)
    for key, state in model.items():
        insert(result, np.uint64(key), state, key % 256)
    return result

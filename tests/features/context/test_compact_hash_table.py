"""The table without keys against a dict, through adding, changing, removing and growing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.features.context import _table
from zeekml.features.context.compact_hash_table import CompactHashTable, larger, new_cells

BITS = 8


def hash_of(n: int) -> int:
    """Hashes that differ in the part that a cell does not keep: all alike, and in few buckets.

    What a key is must be told by its number, as in the context by its record.
    """
    return (n % 3) * 2**62 + (n % 2) * 2**31 + n


hashes = st.integers(0, 119).map(hash_of)
steps = st.lists(st.tuples(st.sampled_from(["add", "add", "remove", "change"]), hashes))


def cell_of(table: CompactHashTable, key: int) -> int:
    """Keys are told apart by their numbers; -1 if it is not there."""
    right = [at for at in _table.alike(table, key) if _table.cell(table, at)[1] == key % 256]
    assert len(right) <= 1
    return right[0] if right else -1


def check(table: CompactHashTable, model: dict[int, int]) -> None:
    assert table.live == len(model)
    for key in map(hash_of, range(120)):
        at = cell_of(table, key)
        assert (at >= 0) == (key in model)
        if at >= 0:
            assert _table.cell(table, at)[0] == model[key]


@settings(max_examples=60, derandomize=True)
@given(st.lists(hashes, unique=True, max_size=60), steps)
def test_it_behaves_like_a_dict(first: list[int], operations: list[tuple[str, int]]) -> None:
    table, model = new_cells(60, BITS), dict[int, int]()
    for operation, key in [*(("add", key) for key in first), *operations]:
        at, number = cell_of(table, key), key % 256
        if operation == "add" and at < 0:
            if table.full_with(1):
                table = grown(table, model)
            at = _table.add(table, key, 1, number)
            assert cell_of(table, key) == at
            model[key] = 1
        elif operation == "remove" and at >= 0:
            _table.remove(table, key, at)
            del model[key]
        elif operation == "change" and at >= 0:
            _table.change(table, at, 3, number)
            model[key] = 3
    check(table, model)
    check(grown(table, model), model)
    for key_number in model:
        _table.remove(table, key_number, cell_of(table, key_number))
    assert not table.cells.any()


def grown(table: CompactHashTable, model: dict[int, int]) -> CompactHashTable:
    result = larger(table, 1)
    assert len(result.cells) >= len(table.cells)
    for key, state in model.items():
        _table.add(result, key, state, key % 256)
    return result

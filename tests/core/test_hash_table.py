"""The hash table against a dict, through adding and removing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.core.hash_table import find, find_or_add, new_table, remove

# few keys that share probe positions, so that chains form and gaps must close
keys = st.integers(0, 40).map(lambda k: np.uint64((k % 5) + (k << 40)))
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), keys), max_size=200)


@settings(max_examples=150)
@given(steps)
def test_it_behaves_like_a_dict(operations: list[tuple[str, np.uint64]]) -> None:
    table = new_table(64)
    model: dict[int, int] = {}
    for operation, key in operations:
        if operation == "add":
            slot = find_or_add(table, key)
            assert model.setdefault(int(key), slot) == slot
        elif operation == "remove" and int(key) in model:
            remove(table, model.pop(int(key)))
        assert table.live == len(model)
        assert len(set(model.values())) == len(model)
        for known, slot in model.items():
            assert find(table, np.uint64(known)) == slot
    for k in range(41):
        key = np.uint64((k % 5) + (k << 40))
        assert (find(table, key) >= 0) == (int(key) in model)

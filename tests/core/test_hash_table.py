"""The hash table against a dict, through adding and removing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.core._hash_table import give_back, slot_for, slot_of
from zeekml.core.hash_table import new_table

# few keys that share probe positions, so that chains form and gaps must close
keys = st.integers(0, 40).map(lambda k: (k % 5) + (k << 40))
steps = st.lists(st.tuples(st.sampled_from(["add", "remove"]), keys), max_size=200)


@settings(max_examples=150)
@given(steps)
def test_it_behaves_like_a_dict(operations: list[tuple[str, int]]) -> None:
    table = new_table(64)
    model: dict[int, int] = {}
    for operation, key in operations:
        if operation == "add":
            slot = slot_for(table, key)
            assert model.setdefault(key, slot) == slot
        elif operation == "remove" and key in model:
            give_back(table, model.pop(key))
        assert table.live == len(model)
        assert len(set(model.values())) == len(model)
        for known, slot in model.items():
            assert slot_of(table, known) == slot
    for k in range(41):
        key = (k % 5) + (k << 40)
        assert (slot_of(table, key) >= 0) == (key in model)

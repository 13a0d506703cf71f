from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notice_fixtures import MakePolicy, rules_of

from zeekml.detection.incidents._incidents import ABSENT, hash_texts
from zeekml.detection.incidents.candidate_rows import new_secret, number_rows, text_keys
from zeekml.detection.incidents.compiled_policy import compile_policy

SECRET = np.uint64(0x0123456789ABCDEF)

texts = st.lists(
    st.one_of(st.none(), st.text(max_size=30), st.sampled_from(["10.0.0.1", "10.0.0.2", ""]))
)


@given(texts, st.integers(0, 40))
def test_keys_are_equal_where_texts_are(drawn: list[str | None], start: int) -> None:
    column = pa.array(drawn, pa.string()).slice(start)
    values = column.to_pylist()
    keys = text_keys(column, SECRET).tolist()
    assert len(set(zip(values, keys, strict=True))) == len(set(values)) == len(set(keys))
    assert all((key == ABSENT) == (value is None) for key, value in zip(keys, values, strict=True))
    again = text_keys(pa.array(values[::-1], pa.string()), SECRET).tolist()
    assert again[::-1] == keys


def test_words_in_another_order_are_another_text() -> None:
    texts = ["12345678abcdefgh", "abcdefgh12345678", "12345678", "123456780", "\x0012345678"]
    assert len(set(text_keys(pa.array(texts), SECRET).tolist())) == len(texts)


def test_offsets_beyond_the_text_are_refused() -> None:
    data, keys = np.frombuffer(b"abc", np.uint8), np.zeros(1, np.uint64)
    for offsets in ([0, 4], [-1, 2], [2**31 - 2, 2**31 - 1], [0]):
        with pytest.raises(IndexError):
            hash_texts(data, np.array(offsets, np.int32), SECRET, keys)


def test_groups_are_equal_where_their_columns_are(
    make_policy: MakePolicy, make_candidate: Any, make_columns: Any
) -> None:
    """Of four kinds, among them one column alone and two in a group."""
    policy = make_policy(
        group_by=("id.orig_h",),
        scan={"group_by": ("id.resp_h",)},
        dos={"group_by": ("id.resp_h", "id.resp_p")},
        web={"group_by": ("id.orig_h", "id.resp_h")},
    )
    compiled = compile_policy(rules_of(policy))
    hosts = ["10.0.0.1", "10.0.0.2"]
    flows = [
        make_candidate(orig_h=orig, resp_h=resp, resp_p=port)
        for orig, resp, port in product(hosts, hosts, [None, 80, 443])
    ]
    keys = number_rows(make_columns(flows), compiled, 0.0, 0, SECRET).keys
    of_group: dict[Any, set[int]] = {}
    kinds = list(dict.fromkeys(d.group_by for d in policy.detectors))
    for kind, column in zip(kinds, keys.T.tolist(), strict=True):
        for flow, key in zip(flows, column, strict=True):
            values = [getattr(flow, name.removeprefix("id.")) for name in kind]
            of_group.setdefault((kind, *values), set()).add(key)
    assert all(len(keys) == 1 for keys in of_group.values())
    assert len(set().union(*of_group.values())) == len(of_group)
    others = number_rows(make_columns(flows), compiled, 0.0, 0, np.uint64(7)).keys
    assert not set(others.ravel().tolist()) & set(keys.ravel().tolist())


def test_another_secret_gives_other_keys() -> None:
    column = pa.array(["10.0.0.1", "", "x" * 40])
    first, second = new_secret(), new_secret()
    assert not set(text_keys(column, first).tolist()) & set(text_keys(column, second).tolist())

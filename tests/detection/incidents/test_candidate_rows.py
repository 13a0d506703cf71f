from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.detection.incidents.candidate_rows import ABSENT, joint_keys, new_secret, text_keys

SECRET = np.uint64(0x0123456789ABCDEF)

texts = st.lists(
    st.one_of(st.none(), st.text(max_size=30), st.sampled_from(["10.0.0.1", "10.0.0.2", ""]))
)


@settings(deadline=None)  # the first example may have to compile
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


def test_joint_keys_tell_columns_apart() -> None:
    a, b = (
        text_keys(pa.array(["x", "y", "x"]), SECRET),
        text_keys(pa.array(["y", "x", "y"]), SECRET),
    )
    joint = joint_keys(SECRET, 1, a, b).tolist()
    assert joint[0] == joint[2] != joint[1]
    assert joint_keys(SECRET, 2, a, b).tolist() != joint
    assert joint_keys(SECRET, 1, a).tolist()[0] != joint[0]


def test_another_secret_gives_other_keys() -> None:
    column = pa.array(["10.0.0.1", "", "x" * 40])
    first, second = new_secret(), new_secret()
    assert not set(text_keys(column, first).tolist()) & set(text_keys(column, second).tolist())
    keys = text_keys(column, SECRET)
    assert not set(joint_keys(first, 1, keys).tolist()) & set(joint_keys(second, 1, keys).tolist())

"""Stored bytes come back whole or are refused."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.core.serialization import (
    array_parts,
    arrays_of_parts,
    batches_of_part,
    batches_part,
    decode,
    seal,
    seal_pieces,
    unseal,
    unseal_pieces,
)
from zeekml.errors import StateError

RECORD = np.dtype([("a", np.int64), ("b", np.int8), ("c", np.float32, (3,))], align=True)
PARTS = [b"", b"abc" * 500, np.arange(1000).tobytes(), bytes(100_000)]
SEALED = seal("thing", 3, PARTS)


def test_parts_come_back() -> None:
    assert unseal("thing", 3, SEALED) == PARTS
    assert len(SEALED) < sum(map(len, PARTS))
    assert unseal("nothing", 0, seal("nothing", 0, [])) == []


@settings(max_examples=400, derandomize=True)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_noticed_or_makes_no_difference(at: int, change: int) -> None:
    damaged = bytearray(SEALED)
    damaged[at] ^= change
    try:
        parts = unseal("thing", 3, bytes(damaged))
    except StateError:
        return
    # frames of zstandard have bits that mean nothing
    assert parts == PARTS


@settings(max_examples=150, derandomize=True)
@given(st.integers(0, len(SEALED) - 1), st.binary(max_size=40))
def test_what_is_cut_short_or_too_long_is_refused(end: int, more: bytes) -> None:
    with pytest.raises(StateError):
        unseal("thing", 3, SEALED[:end])
    if more:
        with pytest.raises(StateError, match="too long"):
            unseal("thing", 3, SEALED + more)


@settings(derandomize=True)
@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    for begin in (b"", SEALED[:8]):
        with pytest.raises(StateError):
            unseal("thing", 3, begin + data)


def test_another_kind_or_version_is_told() -> None:
    with pytest.raises(StateError, match="something else \\(thing, not other\\)"):
        unseal("other", 3, SEALED)
    with pytest.raises(StateError, match="another version \\(thing 3, not 4\\)"):
        unseal("thing", 4, SEALED)


def arrays() -> dict[str, npt.NDArray[Any]]:
    records = np.zeros(5, RECORD)
    records["a"] = range(5)
    records["c"] = np.arange(15).reshape(5, 3)
    return {"records": records, "pairs": np.arange(8, dtype=np.int32).reshape(4, 2)[::2]}


def test_arrays_come_back_whatever_their_length() -> None:
    parts = unseal("arrays", 1, seal("arrays", 1, array_parts(arrays())))
    found = arrays_of_parts(parts, {name: array[:0] for name, array in arrays().items()})
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
    empty = {name: array[:0] for name, array in arrays().items()}
    parts = unseal("arrays", 1, seal("arrays", 1, array_parts(empty)))
    assert {n: a.shape for n, a in arrays_of_parts(parts, arrays()).items()} == {
        "records": (0,),
        "pairs": (0, 2),
    }


@pytest.mark.parametrize(
    "like",
    [
        {"records": np.zeros(5, RECORD)},
        {"pairs": np.zeros((1, 2), np.int32), "records": np.zeros(5, RECORD)},
        {"records": np.zeros(5, RECORD), "pairs": np.zeros((1, 3), np.int32)},
        {"records": np.zeros(5, RECORD), "pairs": np.zeros((1, 2), np.uint32)},
        {"records": np.zeros(5, RECORD), "pairs": np.zeros(4, np.int32)},
        {"records": np.zeros(5, RECORD.newbyteorder()), "pairs": np.zeros((1, 2), np.int32)},
    ],
)
def test_other_arrays_are_refused(like: Mapping[str, npt.NDArray[Any]]) -> None:
    parts = unseal("arrays", 1, seal("arrays", 1, array_parts(arrays())))
    with pytest.raises(StateError, match="another version"):
        arrays_of_parts(parts, like)


def test_arrays_of_the_wrong_length_are_refused() -> None:
    parts = [bytes(part) for part in array_parts(arrays())]
    for wrong in (parts[:-1], [*parts[:-1], parts[-1][:-1]], []):
        with pytest.raises(StateError):
            arrays_of_parts(wrong, arrays())


def test_batches_come_back() -> None:
    sensors = [pa.array(names).dictionary_encode() for names in (["x", "y"], ["y", "z"])]
    batches = [pa.RecordBatch.from_arrays([pa.array([1, 2]), s], ["n", "sensor"]) for s in sensors]
    part = bytes(batches_part(batches))
    found = batches_of_part(part, ["n"])
    assert [b.to_pylist() for b in found] == [b.to_pylist() for b in batches]
    assert found[0].schema == batches[0].schema
    assert batches_of_part(bytes(batches_part([])), ["n"]) == []
    with pytest.raises(StateError, match="other columns"):
        batches_of_part(part, ["sensor"])
    with pytest.raises(StateError, match="cannot be read"):
        batches_of_part(part[: len(part) // 2], ["n"])


def test_other_values_are_refused() -> None:
    assert decode(msgspec.msgpack.encode([1]), list[int]) == [1]
    for data in (b"", b"\xc1", msgspec.msgpack.encode(["x"]), b"\x91" * 100_000):
        with pytest.raises(StateError):
            decode(data, list[int])


LARGE: list[bytes | memoryview] = [
    b"head",
    np.arange(700_000).tobytes(),
    b"",
    memoryview(bytes(3 << 20)),
]


def test_large_parts_come_back_in_pieces() -> None:
    written = b"".join(seal_pieces("thing", 3, LARGE))
    pieces = list(unseal_pieces("thing", 3, io.BytesIO(written)))
    assert pieces[0] == LARGE[0]
    assert b"".join(pieces) == b"".join(LARGE)
    assert max(map(len, pieces)) <= 1 << 20
    with pytest.raises(StateError, match="another version"):
        next(unseal_pieces("thing", 4, io.BytesIO(written)))


@settings(max_examples=100, derandomize=True)
@given(st.data(), st.integers(1, 255))
def test_damaged_pieces_are_refused(data: st.DataObject, change: int) -> None:
    written = bytearray(b"".join(seal_pieces("thing", 3, LARGE)))
    at = data.draw(st.integers(0, len(written) - 1) | st.integers(0, 60))
    written[at] ^= change
    try:
        pieces = list(unseal_pieces("thing", 3, io.BytesIO(bytes(written))))
    except StateError:
        return
    assert b"".join(pieces) == b"".join(LARGE)


def test_pieces_that_are_cut_short_or_claim_too_much_are_refused() -> None:
    written = b"".join(seal_pieces("thing", 3, LARGE))
    for broken in (written[:-1], written[:2], b"\xff\xff\xff\xff" + written[4:], b"\0\0\0\1x"):
        with pytest.raises(StateError):
            list(unseal_pieces("thing", 3, io.BytesIO(broken)))

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.ensemble.scaler import MAX_SCALER, Scaler, decode_scaler, encode_scaler
from zeekml.errors import BundleError


def small_scaler() -> Scaler:
    return Scaler(
        mean=np.array([1, 2], np.float32),
        scale=np.array([3, 4], np.float32),
        fill=np.array([0, -1], np.float32),
        clip=5.0,
    )


def archive(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_numpy_reads_what_is_written() -> None:
    scaler = small_scaler()
    data = encode_scaler(scaler)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["clip", "fill", "mean", "scale"]
        np.testing.assert_array_equal(arrays["scale"], scaler.scale)
    read = decode_scaler(data)
    read.check(2)
    np.testing.assert_array_equal(read.fill, scaler.fill)
    assert read.clip == 5.0
    assert encode_scaler(read) == data


ok = {"mean": np.zeros(2, np.float32), "scale": np.ones(2, np.float32),
      "fill": np.zeros(2, np.float32), "clip": np.float32(5)}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"mean": np.zeros(3, np.float32)}, "mean is not one float32 per feature"),
        ({"mean": np.zeros(2)}, "mean is not one float32 per feature"),
        ({"mean": np.array([object(), object()])}, "plain arrays"),
        ({"fill": np.array([0, np.nan], np.float32)}, "fill holds numbers that are not finite"),
        ({"scale": np.array([1, 0], np.float32)}, "not above 0"),
        ({"scale": np.array([1, -1], np.float32)}, "not above 0"),
        ({"clip": np.float32(0)}, "clip is not"),
        ({"clip": np.float32(np.inf)}, "clip is not"),
        ({"clip": np.ones(2, np.float32)}, "clip is not"),
        ({"clip": np.array("5")}, "clip is not"),
        ({"extra": np.zeros(1)}, "other arrays"),
    ],
)
def test_unusable_values_are_refused(changed: dict[str, object], reason: str) -> None:
    decode_scaler(archive(**ok)).check(2)
    with pytest.raises(BundleError, match=reason):
        decode_scaler(archive(**(ok | changed))).check(2)


def test_an_archive_that_unpacks_without_end_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("mean.npy", bytes(MAX_SCALER + 1))
    assert len(file.getvalue()) < MAX_SCALER / 100
    with pytest.raises(BundleError, match="unpacks to"):
        decode_scaler(file.getvalue())


@given(
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 10**6) | st.none(),
)
@settings(max_examples=200)
def test_damage_is_refused_or_harmless(edits: list[tuple[int, int]], cut: int | None) -> None:
    data = bytearray(encode_scaler(small_scaler()))
    for position, value in edits:
        data[position % len(data)] = value
    if cut is not None:
        del data[cut % len(data) :]
    try:
        decode_scaler(bytes(data)).check(2)
    except BundleError as err:
        assert str(err).isprintable()

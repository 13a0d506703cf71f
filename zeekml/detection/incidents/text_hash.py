"""Texts as 64-bit numbers that say nothing but "the same text", straight from Arrow's buffers.

The numbers start from a secret drawn for each stream: who writes the addresses of a log cannot
know which of them meet in a hash table. No result depends on the numbers themselves; that two of
a million different texts get the same one has odds of one in 10^7.
"""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.jit import njit
from zeekml.features.addresses import mix

Keys = npt.NDArray[np.uint64]

ABSENT: Final = 0
"""Key of a text that is not there."""


def new_secret() -> np.uint64:
    """What the keys of one stream start from."""
    return np.uint64(secrets.randbits(64))


def text_keys(column: pa.StringArray, secret: np.uint64) -> Keys:
    """The key of each text of a column, (n,)."""
    keys = np.zeros(len(column), np.uint64)
    if not len(column):
        return keys
    _, offsets_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset :][: len(column) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    # whether Arrow's buffers may be written to differs; compile for one of the two only
    data.flags.writeable = offsets.flags.writeable = False
    _hash_texts(data, offsets, secret, keys)
    if column.null_count:
        keys[column.is_null().to_numpy(zero_copy_only=False)] = ABSENT
    return keys


def joint_keys(secret: np.uint64, first: int, *columns: Keys) -> Keys:
    """A key for each row's values in all these columns; another `first` gives other keys."""
    keys = np.full(len(columns[0]), np.uint64(first) ^ secret)
    for column in columns:
        _join(keys, column)
    return keys


@njit(cache=True)
def _hash_texts(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32], secret: np.uint64, keys: Keys
) -> None:
    for i in range(len(keys)):
        key = mix(secret + np.uint64(offsets[i + 1] - offsets[i]))
        word = np.uint64(0)
        filled = 0
        for j in range(offsets[i], offsets[i + 1]):
            word = (word << np.uint64(8)) | np.uint64(data[j])
            filled += 1
            if filled == 8:
                key = mix(key ^ word)
                word = np.uint64(0)
                filled = 0
        keys[i] = mix(key ^ word)


@njit(cache=True)
def _join(keys: Keys, more: Keys) -> None:
    for i in range(len(keys)):
        keys[i] = mix(keys[i] ^ more[i])

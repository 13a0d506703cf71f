"""Serialisation of state: compressed bytes under checksums, read back whole or not at all.

A digest and checksums tell damage from what was written. They are no signature: who may write the
bytes may make others that pass, so keep them where only zeekml writes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, BinaryIO, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zstandard

from zeekml.errors import StateError

T = TypeVar("T")

Part = bytes | memoryview

_MAGIC: Final = b"zeekml.s"
_DIGEST_SIZE: Final = 16
_SIZE_BYTES: Final = 4
_PIECE: Final = 1 << 20

# state is written often and read once, and most of it are keys that no level makes smaller
_LEVEL: Final = -3


class _Head(msgspec.Struct, frozen=True):
    """What the bytes are, and how long each part is, as it is and compressed."""

    kind: str
    version: int
    sizes: list[tuple[int, int]]


class _Shape(msgspec.Struct, frozen=True):
    """What an array looks like; the dtype as text, with the names and places of its fields."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def seal(kind: str, version: int, parts: Sequence[Part], *, level: int = _LEVEL) -> bytes:
    """Compress the parts of a state (bytes, or contiguous memory) and join them.

    `unseal` asks for the same kind, which is what the state is of, and version of its format.
    """
    # a frame ends with a checksum of what is compressed in it
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
    frames = [compressor.compress(part) for part in parts]
    sizes = [(len(part), len(frame)) for part, frame in zip(parts, frames, strict=True)]
    head = msgspec.msgpack.encode(_Head(kind, version, sizes))
    return b"".join((_MAGIC, _digest(head), len(head).to_bytes(_SIZE_BYTES, "big"), head, *frames))


def unseal(kind: str, version: int, data: bytes, *, least: int = 0) -> list[bytes]:
    """The parts that `seal` was given, of which there must be `least`.

    Bytes that are damaged, of another kind or version, or not from `seal` are a `StateError`.
    """
    if not data.startswith(_MAGIC):
        raise StateError(f"this is no stored state of zeekml, or its beginning is damaged ({kind})")
    begin = len(_MAGIC) + _DIGEST_SIZE + _SIZE_BYTES
    at = begin + int.from_bytes(data[begin - _SIZE_BYTES : begin], "big")
    if _digest(data[begin:at]) != data[len(_MAGIC) : begin - _SIZE_BYTES]:
        raise StateError(f"the stored state is damaged ({kind})")
    head = decode(data[begin:at], _Head)
    if head.kind != kind:
        raise StateError(f"the stored state is of something else ({head.kind}, not {kind})")
    if head.version != version:
        raise StateError(
            f"the stored state is of another version ({kind} {head.version}, not {version})"
        )
    if len(data) != at + sum(size for _, size in head.sizes):
        raise StateError(f"the stored state is cut short or too long ({kind})")
    if len(head.sizes) < least:
        raise StateError("the stored state is of another version: it has other parts")
    parts: list[bytes] = []
    for size, compressed in head.sizes:
        frame = memoryview(data)[at : at + compressed]
        try:
            told = zstandard.get_frame_parameters(frame)
            if told.content_size != size or not told.has_checksum:
                raise StateError(f"the stored state is damaged ({kind})")
            parts.append(zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False))
        except zstandard.ZstdError as error:
            raise StateError(f"the stored state is damaged ({kind})") from error
        at += compressed
    return parts


def seal_pieces(kind: str, version: int, parts: Iterable[Part]) -> Iterator[bytes]:
    """What `seal` is for a state too large to hold twice: bytes to be written one after the other.

    The parts are cut into pieces, which `unseal_pieces` gives back.
    """
    for part in parts:
        view = memoryview(part)
        for begin in range(0, len(view), _PIECE):
            data = seal(kind, version, [view[begin : begin + _PIECE]])
            yield len(data).to_bytes(_SIZE_BYTES, "big") + data


def unseal_pieces(kind: str, version: int, file: BinaryIO) -> Iterator[bytes]:
    """The pieces of a file that `seal_pieces` made; errors as for `unseal`."""
    while length := file.read(_SIZE_BYTES):
        size = int.from_bytes(length, "big")
        if size > 2 * _PIECE:
            raise StateError(f"the stored state is damaged ({kind})")
        yield from unseal(kind, version, file.read(size))


def decode(data: Part, as_type: type[T]) -> T:
    """Read msgpack of a type; anything else is a `StateError`."""
    try:
        return msgspec.msgpack.decode(data, type=as_type)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"the stored state is of another version: {error}") from error


def array_parts(arrays: Mapping[str, npt.NDArray[Any]]) -> list[Part]:
    """Arrays as parts for `seal`: what they look like, then the memory of each."""
    shapes = [_Shape(name, str(array.dtype), array.shape) for name, array in arrays.items()]
    raw = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays.values()]
    return [msgspec.msgpack.encode(shapes), *raw]


def arrays_of_parts(
    parts: Sequence[bytes], like: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """The arrays that `array_parts` was given; they cannot be written to.

    Unless they are `like` these in names, dtypes and shapes but for the length of the first axis,
    that is a `StateError`.
    """
    shapes = decode(parts[0], list[_Shape]) if parts else []
    if [shape.name for shape in shapes] != list(like) or len(parts) != len(shapes) + 1:
        raise StateError("the stored state is of another version: it holds other arrays")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for told, raw in zip(shapes, parts[1:], strict=True):
        wanted = like[told.name]
        if (
            told.dtype != str(wanted.dtype)
            or told.shape[1:] != wanted.shape[1:]
            or len(raw) != wanted.itemsize * math.prod(told.shape)
        ):
            raise StateError(f"the stored state is of another version: {told.name} looks different")
        arrays[told.name] = np.frombuffer(raw, wanted.dtype).reshape(told.shape)
    return arrays


def batches_part(batches: Sequence[pa.RecordBatch]) -> Part:
    """Record batches of one schema as a part for `seal`; nothing if there are none."""
    if not batches:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return memoryview(sink.getvalue())


def batches_of_part(part: bytes, names: Sequence[str]) -> list[pa.RecordBatch]:
    """The batches that `batches_part` was given, if these are their first columns."""
    if not part:
        return []
    try:
        with pa.ipc.open_stream(part) as stream:
            batches = list(stream)
    except (pa.ArrowException, OSError) as error:
        raise StateError("the flows of the stored state cannot be read") from error
    if any(batch.schema.names[: len(names)] != list(names) for batch in batches):
        raise StateError("the stored state is of another version: its flows have other columns")
    return batches


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_SIZE).digest()

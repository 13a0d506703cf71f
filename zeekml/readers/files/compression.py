"""Read bytes from plain or compressed files, recognised by content, within bounded memory.

Text in UTF-16 that says so by a byte order mark, as Windows writes it, is given as UTF-8.

A file that breaks off or is damaged gives everything before the damage; what went wrong is then
in `ByteStream.damage`. What follows whole compressed data is passed over. A file that unpacks to
absurd sizes is stopped (`EXPANSION_RATIO`).
"""

from __future__ import annotations

import bz2
import codecs
import itertools
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, Final

import zstandard

EXPANSION_RATIO: Final = 1000
EXPANSION_FLOOR: Final = 1 << 30
"""Unpacking stops when it has given at least this many bytes at `EXPANSION_RATIO` or more."""

_READ_SIZE: Final = 1 << 21
_READ_SIZE_COMPRESSED: Final = 1 << 19
_OUTPUT_SIZE: Final = 1 << 20
# A zstd block of four bytes can stand for 128 KiB and its decompressor knows no output limit:
# with 1 KiB of input at a time one call gives at most 32 MiB.
_ZSTD_FEED: Final = 1 << 10
_SMALL_FEED: Final = 64

_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
_LONGEST_MAGIC: Final = 6
_UTF_16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# a frame for other programs' use, which pzstd puts first
_ZSTD_SKIPPED: Final = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")


def compression_of(head: bytes) -> str | None:
    """``gzip``, ``zstd``, ``bzip2`` or ``xz`` by the first bytes, else None."""
    if _ZSTD_SKIPPED.match(head):
        return "zstd"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), None)


class _Member:
    """One compressed member (gzip calls it so; a frame in zstd, a stream in bzip2 and xz).

    The decompressor is given `feed` bytes at a time, and its limit of output if it knows one.
    """

    def __init__(self, inner: Any, feed: int = _SMALL_FEED, *limit: int) -> None:
        self.inner, self._feed, self._limit = inner, feed, limit
        self.rest = b""  # what it was not given, since it had ended

    def unpack(self, data: bytes) -> Iterator[bytes]:
        # the call that meets damage gives back nothing: little by little, little is lost
        for start in range(0, len(data), self._feed):
            yield self.inner.decompress(data[start : start + self._feed], *self._limit)
            while self._limit and not (self.inner.eof or self.inner.needs_input):
                yield self.inner.decompress(b"", *self._limit)
            if self.inner.eof:
                self.rest = data[start + self._feed :]
                return


class _GzipMember(_Member):
    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data and not self.inner.eof:
            before = self.inner.copy()
            try:
                unpacked = self.inner.decompress(data, _OUTPUT_SIZE)
            except zlib.error:
                # again, byte by byte: the call that met the damage gave back nothing at all
                recovered = bytearray()
                with suppress(zlib.error):
                    for start in range(0, len(data), _SMALL_FEED):
                        piece = data[start : start + _SMALL_FEED]
                        while out := before.decompress(piece, 1):
                            recovered += out
                            piece = before.unconsumed_tail
                yield bytes(recovered)
                raise
            data = self.inner.unconsumed_tail
            yield unpacked


def _new_member(compression: str) -> _Member:
    if compression == "gzip":
        return _GzipMember(zlib.decompressobj(wbits=31))
    if compression == "zstd":
        zstd = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        return _Member(zstd.decompressobj(), _ZSTD_FEED)
    xz = compression == "xz"
    inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, 256 << 20) if xz else bz2.BZ2Decompressor()
    return _Member(inner, _SMALL_FEED, _OUTPUT_SIZE)


_DAMAGE: Final = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError)


class ByteStream:
    """The unpacked bytes of one file or pipe, once through; never seeks."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.raw_bytes = 0  # taken from `raw` so far, before decompression
        self.damage: str | None = None  # after the last chunk: why the input ended early
        self.utf_16 = False  # after the first chunk: whether the input is text in UTF-16
        self.left_out = 0  # bytes behind the compressed data that belong to nothing
        self._head = b""
        self._source = self._as_utf_8(self._unpacked())

    def head(self, size: int) -> bytes:
        """The first bytes without consuming them: `size` or more, fewer at the end.

        NUL bytes at the very start are dropped for good: gigabytes of them precede the first
        record of a log that was rotated by `copytruncate`.
        """
        parts = [self._head]
        have = len(self._head)
        while have < size and (chunk := next(self._source, None)) is not None:
            if not have:
                chunk = chunk.lstrip(b"\0")
            parts.append(chunk)
            have += len(chunk)
        self._head = b"".join(parts)
        return self._head

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes in non-empty pieces."""
        if self._head:
            head, self._head = self._head, b""
            yield head
        yield from self._source

    def close(self) -> None:
        """Close the file below."""
        self._raw.close()

    def _read(self, size: int) -> bytes:
        try:
            data = self._raw.read(size)
        except OSError as error:
            self.damage = f"cannot be read further: {error.strerror}"
            return b""
        self.raw_bytes += len(data)
        return data

    def _read_whole(self, size: int) -> bytes:
        """Read that many bytes unless the input ends, so that it is always cut alike.

        How much is recovered before damage depends on what a decompressor is fed at a time.
        """
        parts = []
        while size > 0 and (part := self._read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _as_utf_8(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        first = b""
        for chunk in chunks:
            first += chunk
            if len(first) >= 2 * len(codecs.BOM_UTF16_LE):
                break
        encoding = _UTF_16.get(first[:2])
        if encoding is not None and first[2:4].decode(encoding, "replace") > "\xff":
            # no log begins with such a character: the mark is rubbish before a line
            encoding = None
        if encoding is None:
            if first:
                yield first
            yield from chunks
            return
        self.utf_16 = True
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        for chunk in itertools.chain([first[2:]], chunks):
            if text := decoder.decode(chunk):
                yield text.encode()
        if decoder.getstate()[0] and self.damage is None:
            self.damage = "text in UTF-16 breaks off within a character"

    def _unpacked(self) -> Iterator[bytes]:
        first = self._read(_READ_SIZE_COMPRESSED)
        while 0 < len(first) < _LONGEST_MAGIC and (more := self._read(_READ_SIZE_COMPRESSED)):
            first += more
        compression = compression_of(first)
        if compression is None:
            while first:
                yield first
                first = self._read(_READ_SIZE)
            return
        first += self._read_whole(_READ_SIZE_COMPRESSED - len(first))
        given = 0
        for chunk in self._members(compression, first):
            given += len(chunk)
            if chunk:
                yield chunk
            if given >= EXPANSION_FLOOR and given >= EXPANSION_RATIO * self.raw_bytes:
                self.damage = (
                    f"unpacks to more than {EXPANSION_RATIO:,} times its size; not read further"
                )
                return

    def _members(self, compression: str, data: bytes) -> Iterator[bytes]:
        """Unpack members until the input ends, which must not be within one of them."""
        member = _new_member(compression)
        while True:
            try:
                if data:
                    yield from member.unpack(data)
            except _DAMAGE as error:
                self.damage = self.damage or f"compressed data is damaged: {error}"
                return
            if not member.inner.eof:
                data = self._read_whole(_READ_SIZE_COMPRESSED)
                if not data:
                    self.damage = self.damage or "compressed data breaks off"
                    return
                continue
            # tapes and block devices pad with zeros
            data = (bytes(member.inner.unused_data) + member.rest).lstrip(b"\0")
            while len(data) < _LONGEST_MAGIC and (more := self._read_whole(_READ_SIZE_COMPRESSED)):
                data = (data + more).lstrip(b"\0")
            following = compression_of(data)
            if following is None:
                break
            member = _new_member(following)
        # passed over is what follows the last member: nothing of the log is lost by it
        if data and any(magic.startswith(data) for magic, _ in _MAGIC):
            self.damage = self.damage or "compressed data breaks off"
        while data:
            self.left_out += len(data)
            data = self._read_whole(_READ_SIZE_COMPRESSED)

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable

import pytest
import zstandard

from zeekml.readers.files import compression
from zeekml.readers.files.compression import ByteStream

TEXT = b"".join(b"line %d of a log\n" % i for i in range(50_000))
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
every = pytest.mark.parametrize("name", COMPRESS)


def unpack(data: bytes) -> tuple[bytes, str | None]:
    stream = ByteStream(io.BytesIO(data))
    chunks = list(stream.chunks())
    assert all(chunks)
    return b"".join(chunks), stream.damage


@every
def test_whole_file(name: str) -> None:
    assert unpack(COMPRESS[name](TEXT)) == (TEXT, None)


@every
def test_members_and_padding(name: str) -> None:
    member = COMPRESS[name](TEXT)
    assert unpack(member + COMPRESS[name](b"end\n") + b"\0" * 512) == (TEXT + b"end\n", None)


@every
def test_cut_file_gives_what_it_has(name: str) -> None:
    data = COMPRESS[name](TEXT)
    got, damage = unpack(data[: len(data) * 2 // 3])
    assert TEXT.startswith(got)
    assert damage == "compressed data breaks off"


@every
def test_rubbish_behind_a_member_is_left_out(name: str) -> None:
    for padding in (b"", b"\0" * 300_000):
        stream = ByteStream(io.BytesIO(COMPRESS[name](TEXT) + padding + b"rubbish"))
        assert b"".join(stream.chunks()) == TEXT
        assert (stream.damage, stream.left_out) == (None, 7)


@every
def test_a_member_that_has_only_begun_is_missing(name: str) -> None:
    member = COMPRESS[name](TEXT)
    for begun in (1, 2, 9):
        got, damage = unpack(member + b"\0" * 20 + member[:begun])
        assert (got, damage) == (TEXT, "compressed data breaks off")


def test_members_of_several_kinds() -> None:
    data = b"".join(make(name.encode()) for name, make in COMPRESS.items())
    assert unpack(data) == (b"gzipzstdbzip2xz", None)


def test_frames_for_other_programs_are_passed_over() -> None:
    frame = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
    data = zstandard.compress(b"log")
    assert unpack(frame + data + frame + data) == (b"loglog", None)


def test_flipped_bits_are_damage() -> None:
    data = bytearray(gzip.compress(TEXT))
    data[-5] ^= 0xFF  # length and checksum stand at the end
    got, damage = unpack(bytes(data))
    assert TEXT.startswith(got)
    assert len(got) >= len(TEXT) - 1  # the last byte comes together with the bad checksum
    assert damage is not None and "damaged" in damage


def test_plain_bytes_pass_through() -> None:
    assert unpack(TEXT) == (TEXT, None)
    assert unpack(b"") == (b"", None)
    assert unpack(b"\x1f") == (b"\x1f", None)


class Dribble(io.BytesIO):
    """Gives some bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._size)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_utf_16_comes_as_utf_8(encoding: str, size: int, pack: Callable[[bytes], bytes]) -> None:
    text = "#fields\tts\n1.5 \N{SNOWMAN} \N{PILE OF POO}\r\n" * 50
    stream = ByteStream(Dribble(pack(("\ufeff" + text).encode(encoding)), size))
    assert b"".join(stream.chunks()) == text.encode()
    assert stream.utf_16
    assert stream.damage is None


def test_utf_16_cut_within_a_character() -> None:
    data = "\ufeffone\ntwo\n".encode("utf-16-le")
    got, damage = unpack(data[:-1])
    assert got == b"one\ntwo"
    assert damage == "text in UTF-16 breaks off within a character"
    assert unpack(data[:2]) == (b"", None)
    # half a pair of surrogates is no character, and harmless
    assert unpack(data + b"\x00\xd8x\x00")[0] == "one\ntwo\n\ufffdx".encode()


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_a_mark_of_utf_16_before_other_text_is_only_rubbish(mark: bytes, size: int) -> None:
    for text in (b'{"ts":1}\n', b"#fields\tts\n", b"1.5\t-\n"):
        stream = ByteStream(Dribble(mark + text, size))
        assert b"".join(stream.chunks()) == mark + text
        assert not stream.utf_16


def test_head_consumes_nothing() -> None:
    stream = ByteStream(io.BytesIO(gzip.compress(TEXT)))
    assert stream.head(100)[:100] == TEXT[:100]
    assert stream.head(10)[:10] == TEXT[:10]
    assert b"".join(stream.chunks()) == TEXT


def test_magic_may_come_in_pieces() -> None:
    data = gzip.compress(b"hello\n")
    assert b"".join(ByteStream(Dribble(data, 1)).chunks()) == b"hello\n"


def test_bytes_are_counted_before_unpacking() -> None:
    data = gzip.compress(TEXT)
    stream = ByteStream(io.BytesIO(data))
    assert b"".join(stream.chunks()) == TEXT
    assert stream.raw_bytes == len(data)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_bomb_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "EXPANSION_FLOOR", 8 << 20)
    monkeypatch.setattr(compression, "EXPANSION_RATIO", 500)
    bomb = COMPRESS[name](b"\n" * (64 << 20))
    stream = ByteStream(io.BytesIO(bomb))
    given = sum(map(len, stream.chunks()))
    assert 8 << 20 <= given <= 48 << 20
    assert stream.damage is not None and "500 times" in stream.damage


def test_read_error_is_damage() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(10)

    stream = ByteStream(Failing(TEXT))
    assert b"".join(stream.chunks()) == TEXT[:10]
    assert stream.damage == "cannot be read further: Input/output error"


def test_one_piece_of_output_is_bounded() -> None:
    packed = zlib.compressobj(wbits=31)
    data = packed.compress(b"a" * (32 << 20)) + packed.flush()
    assert max(map(len, ByteStream(io.BytesIO(data)).chunks())) <= 1 << 20

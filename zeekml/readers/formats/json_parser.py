"""What the two JSON readers share: parsing single lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from zeekml.readers.rejects import BAD_JSON, BAD_UTF8, TRUNCATED, SourceAccount
from zeekml.readers.values import UNREADABLE

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a `line_decoder` raises; the last one for brackets in great number that nothing closes."""

MAX_DEPTH: Final = 400  # most objects and arrays within each other, far more than any log has
_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?')

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Struct)


def line_decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Make a function that decodes a line, and refuses those nested beyond `MAX_DEPTH`.

    Left to itself, the parser gives up at a depth that hangs on how deep its caller stands.
    """
    decode = msgspec.json.Decoder(kind).decode

    def checked(line: bytes) -> T:
        # few lines are long enough to open and close so many brackets, and fewer have them
        if (
            len(line) > 2 * MAX_DEPTH
            and line.count(b"[") + line.count(b"{") > MAX_DEPTH
            and _depth(line) > MAX_DEPTH
        ):
            raise msgspec.DecodeError("nested too deeply")
        return decode(line)

    return checked


def _depth(line: bytes) -> int:
    """Most brackets open at a time, but for those within texts."""
    bare = np.frombuffer(_TEXT.sub(b"", line), np.uint8)
    opened = np.isin(bare, [ord("["), ord("{")])
    closed = np.isin(bare, [ord("]"), ord("}")])
    return int(np.cumsum(opened.astype(np.int64) - closed).max(initial=0))


members_of: Final = line_decoder(dict[str, msgspec.Raw])
object_of: Final = line_decoder(dict[str, Any])


def json_object(
    account: SourceAccount, line: int, text: bytes, *, complete: bool
) -> dict[str, Any] | None:
    """Read a line that a decoder of records refused; None if it is no object, which is booked.

    The first of these that fails is the reason: it is an object by JSON's grammar, it is UTF-8.
    Its values are another matter, since no grammar bounds them: a number too large for any machine
    is sound JSON all the same. It is `zeekml.readers.values.UNREADABLE`, as are all that no parser
    takes. `complete` is False for the last line of a file when no newline ends it.
    """
    try:
        members = members_of(text)
        text.decode()
    except UnicodeDecodeError:
        account.reject(line, BAD_UTF8, text)
    except msgspec.ValidationError:
        # something else than an object, which no further bytes would have made one
        account.reject(line, BAD_JSON, text)
    except (msgspec.DecodeError, RecursionError):
        account.reject(line, BAD_JSON if complete else TRUNCATED, text)
    else:
        return {
            name: {inner: _readable(v) for inner, v in members_of(bytes(value)).items()}
            if bytes(value).startswith(b"{")
            else _readable(value)
            for name, value in members.items()
        }
    return None


def _readable(value: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(value)
    except DECODE_ERRORS:
        return UNREADABLE


def record_of(kind: type[R], members: dict[str, Any]) -> R:
    """Make a record, all of whose fields may hold anything, of what `json_object` gave."""
    fields = {field.encode_name: field.name for field in msgspec.structs.fields(kind)}
    return kind(**{fields[name]: members[name] for name in members.keys() & fields.keys()})

"""Text from strangers made safe to show."""

from __future__ import annotations


def printable(text: str | bytes, limit: int | None = 256, *, keep: str = "") -> str:
    r"""Text from strangers made safe in a log, on a terminal and in a message.

    Every character that is not printable (controls, terminal escapes, line and direction marks,
    lone surrogates, invalid UTF-8) becomes ``\xHH``, ``\uHHHH`` or ``\UHHHHHHHH``, but those to
    `keep`. A result longer than `limit` (at least 3; None for any) is cut and ends in ``...``.
    """
    if limit is not None:
        # one more character than fits, of at most four bytes each: a huge text is not walked
        text = text[: limit + 1] if isinstance(text, str) else text[: 4 * (limit + 1)]
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in keep else _escaped(c) for c in text)
    return text if limit is None or len(text) <= limit else text[: limit - 3] + "..."


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

"""Text from strangers made safe to show."""

from __future__ import annotations


def printable(text: str | bytes, limit: int | None = 256, *, keep: str = "") -> str:
    r"""Text that is safe in a log, on a terminal and in a message.

    Parameters
    ----------
    text
        Anything a log, a file name or a file may hold; bytes are taken as UTF-8.
    limit
        Longest result, in characters; a longer one ends in ``...``. At least 3; None for any.
    keep
        Characters that stay although they are not printable.

    Returns
    -------
    str
        The text with every character that is not printable (controls, terminal escapes, line and
        direction marks, lone surrogates, invalid UTF-8) as ``\xHH``, ``\uHHHH`` or ``\UHHHHHHHH``.
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

"""Columns that a user names for tab-separated logs without a header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from zeekml.core.text import printable
from zeekml.errors import InputError
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.discovery import open_log
from zeekml.readers.files.file_type import HEAD_SIZE, Kind, detect
from zeekml.readers.files.refusal import explain
from zeekml.readers.formats.multiline_json import without_rubbish
from zeekml.readers.formats.zeek_header import MAX_COLUMNS, Header, conn_header
from zeekml.readers.formats.zeek_log_kind import CONN


def named_columns(names: str | Sequence[str]) -> Header:
    """Make the header of a log that has none.

    Parameters
    ----------
    names : str or sequence of str
        Names of all its columns in their order, as in conn.log; in one text, commas or blanks
        stand between them.

    Raises
    ------
    ValueError
        A column is not named without which there is no connection.
    """
    parts = re.split(r"[\s,]+", names.strip(" \t\r\n,")) if isinstance(names, str) else names
    header = Header(path=CONN, fields=tuple(name.encode() for name in parts))
    if header.missing:
        raise ValueError(f"the columns lack {', '.join(header.missing)}")
    if header.refusal is not None:
        raise ValueError(f"there are more than {MAX_COLUMNS:,} columns")
    return header


def columns_like(path: Path) -> Header:
    """Take the header of another file of the same log, compressed or not.

    Raises
    ------
    InputError
        The file cannot be read or has no header of a log of connections.
    """
    name = printable(str(path), 4096)
    try:
        with open_log(path) as raw:
            head = ByteStream(raw).head(HEAD_SIZE)
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from error
    found = detect(head, path.name)
    if found.kind is not None and found.kind is not Kind.ZEEK_TSV:
        raise InputError(f"{name}: is no tab-separated log; its header would be needed")
    header = conn_header(without_rubbish(head))
    if header is None:
        raise InputError(f"{name}: {explain(found)}")
    return replace(header, opened=None)

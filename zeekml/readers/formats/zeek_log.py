"""Zeek's conn.log in whatever format each of its lines has.

Zeek may change from one format to the other under the same name (`LogAscii::use_json`), and what
is put together from files of both is still one log. So the line decides, not the file and not what
was read before: one that opens an object is JSON, any other is under the header in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

import pyarrow as pa

from zeekml.readers._texts import line_beginnings
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.zeek_header import CONN, Header
from zeekml.readers.formats.zeek_json import ZeekJsonDecoder
from zeekml.readers.formats.zeek_tsv import TsvDecoder
from zeekml.readers.rejects import SourceAccount

# no column has a brace in its name: with one, it is something before a record
_BEGINS_HEADER: Final = re.compile(rb"^#(?:separator \S|fields\t)[^{\n]*+$", re.MULTILINE)
# a carriage return ends no line
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")

# records, what frames them, and the lines that a record over several of them leaves empty
_JSON: Final = re.compile(rb" *+(?:[\[\]{]|\r?(?:\n|\Z))")


class ZeekDecoder:
    """Decodes one conn.log in blocks of whole lines.

    `kind` is the format that is taken for granted where a line does not tell: before the first
    header of a file, everything in a JSON log is JSON. `header` is for records above which none
    stands. Records of `log` are taken for connections, too.
    """

    def __init__(
        self,
        kind: Kind,
        account: SourceAccount,
        *,
        keep_originals: bool = False,
        header: Header | None = None,
        log: str = CONN,
    ) -> None:
        self.kind = kind  # of the latest line
        self._tsv = TsvDecoder(account, keep_originals=keep_originals, header=header, log=log)
        self._json = ZeekJsonDecoder(account, keep_originals=keep_originals, log=log)
        self._has_header = kind is Kind.ZEEK_TSV

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """The flows of a block, in order; batches are never empty."""
        batches: list[pa.RecordBatch] = []
        for kind, run in self._runs(block):
            self.kind = kind
            batches += (self._tsv if kind is Kind.ZEEK_TSV else self._json).decode(run)
        return batches

    def pass_over(self, block: Block) -> None:
        """Take in only what later blocks depend on: the headers."""
        for kind, run in self._runs(block):
            self.kind = kind
            if kind is Kind.ZEEK_TSV:
                self._tsv.pass_over(run)

    def _runs(self, block: Block) -> Iterator[tuple[Kind, Block]]:
        """Yield the runs of lines of one format."""
        data = block.data
        if not self._has_header:
            first = _BEGINS_HEADER.search(data) if b"#" in data else None
            if first is None:
                yield Kind.ZEEK_JSON, block
                return
            self._has_header = True
            if first.start():
                yield Kind.ZEEK_JSON, Block(data[: first.start()], block.first_line)
            line = block.first_line + data.count(b"\n", 0, first.start())
            block = Block(data[first.start() :], line, block.complete)
            data = block.data
        # lines of an array may frame objects; no record of TSV begins like one
        objects, framed = line_beginnings(data)
        if not objects and not framed:
            yield Kind.ZEEK_TSV, block
        elif objects == data.count(b"\n") + (not data.endswith(b"\n")):
            yield Kind.ZEEK_JSON, block
        else:
            line = block.first_line
            for other, lines in groupby(_LINE.findall(data), lambda line: not _JSON.match(line)):
                run = b"".join(lines)
                kind = Kind.ZEEK_TSV if other else Kind.ZEEK_JSON
                yield kind, Block(run, line, block.complete or run.endswith(b"\n"))
                line += run.count(b"\n")

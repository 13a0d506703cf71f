"""Interim records: what packages for Zeek log of a connection while it is open.

``conn_long.log`` (zeek-long-connections) has a record whenever a connection has lasted 10 minutes,
30 minutes, an hour and so on, ``open_conn.log`` (zeek-open-connections) one for every hour. Both
have the columns of conn.log, with what there was so far. They are no flows: the connection is in
conn.log when it has ended.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.zeek_log import ZeekDecoder
from zeekml.readers.rejects import SourceAccount


@dataclass
class _Account(SourceAccount):
    """The books of a log whose records are read, but count as skipped."""

    log: str = ""

    def accept(self, n: int, first_ts: float, last_ts: float) -> None:
        self.skip(self.log, n)

    def judge_sides(self, one_sided: int, of: int) -> None:
        pass

    def unknown(self, column: str, n: int) -> None:
        pass


class InterimDecoder:
    """Decodes one file of a log of `INTERIM_LOGS`, block by block, in whichever format."""

    def __init__(self, log: str, account: SourceAccount) -> None:
        books = (account.source, account.counters, account.rejects)
        own = _Account(*books, account.most_types, account.dates, log=log)
        # as which the decoder leaves it to each line
        self._decoder = ZeekDecoder(Kind.ZEEK_TSV, own, log=log)

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """The connections of a block as they stood, batches of `FLOW_SCHEMA`."""
        return self._decoder.decode(block)

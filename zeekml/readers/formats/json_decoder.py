"""What the decoders of the two sensors' JSON lines share: how lines become records and batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import pyarrow as pa

from zeekml.readers.batch_builder import BoolArray, build_batch
from zeekml.readers.formats.envelopes import unwrap
from zeekml.readers.formats.json_columns import MergedRows
from zeekml.readers.formats.json_parser import DECODE_ERRORS, json_object, line_decoder, record_of
from zeekml.readers.rejects import SourceAccount

R = TypeVar("R", bound=msgspec.Struct)


class JsonDecoder(Generic[R]):
    """Parses lines one by one, takes them out of their envelopes and builds batches.

    The account gets every record as accepted, rejected or skipped (by its type).
    `keep_originals` adds the column ``original``: the line as it was logged.
    """

    sensor: ClassVar[str]
    telling: ClassVar[str]  # a field of every record; a line without it may be an envelope

    def __init__(self, record: type[R], account: SourceAccount, *, keep_originals: bool) -> None:
        self._account = account
        self._keep_originals = keep_originals
        self._record = record
        self._decode = line_decoder(record)

    def _records(
        self, line: int, text: bytes, *, complete: bool, inside: bool = False
    ) -> Iterator[tuple[bytes, R]]:
        """Yield the record of a line, or those that its line is the envelope of, with their text.

        What is no record is booked.
        """
        try:
            record: R | None = self._decode(text)
        except DECODE_ERRORS:
            record = None
        known = record is not None and getattr(record, self.telling) is not None
        if not known and not inside and (opened := unwrap(text)):
            self._account.unwrap(opened.envelope, len(opened.records))
            for each in opened.records:
                yield from self._records(line, each, complete=complete, inside=True)
            return
        if record is None and text.strip():
            members = json_object(self._account, line, text, complete=complete)
            record = None if members is None else record_of(self._record, members)
        if record is not None:
            yield text, record

    def _batch(
        self,
        rows: MergedRows[R],
        columns: dict[str, pa.Array],
        unread: dict[str, BoolArray],
        **more: Any,
    ) -> list[pa.RecordBatch]:
        batch = build_batch(
            columns,
            rows.lines,
            sensor=self.sensor,
            account=self._account,
            excerpt=rows.__getitem__,
            original=(lambda row: rows[row].strip()) if self._keep_originals else None,
            unread=unread,
            **more,
        )
        return [] if batch is None else [batch]

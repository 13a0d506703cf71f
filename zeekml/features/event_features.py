"""Event features: what the events of a flow look like, in shapes and shares.

No name, path or agent counts as such. A flow without an event of a kind has none of its features,
whether the sensor does not log them or there were none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.features._text_shapes import URI_COLUMNS, uri_shapes
from zeekml.features.feature_schema import EVENT_START, FEATURE_INDEX, FEATURES
from zeekml.features.name_shapes import NAME_COLUMNS, name_shape, registered_domain
from zeekml.readers.events.event_schema import DNS, HTTP, TLS

Matrix = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_CACHED: Final = 1 << 14
_DAY: Final = 86400.0
_SUCCESS, _ERROR = (200, 300), (400, 1000)

_USUAL_QUERIES: Final = pa.array(
    ["A", "AAAA", "PTR", "SRV", "SOA", "NS", "HTTPS", "SVCB"], pa.string()
)
"""Types of queries that ask where somebody is; the others can carry what one likes."""

_BROWSER: Final = re.compile(r"Mozilla/[45]\.0 \(")
_SCRIPT: Final = r"(?i)\.(?:php\d?|aspx?|ashx|jspx?|cgi)(?:\?|$)"
_PROGRAM: Final = r"(?i)\.(?:exe|dll|scr|msi|jar|bin|elf|sh|ps1|apk)(?:\?|$)"
_STATIC: Final = r"(?i)\.(?:jpe?g|png|gif|bmp|ico|css|js|svg|woff2?)(?:\?|$)"
_PROGRAM_TYPES: Final = r"dosexec|octet-stream|x-ms(?:download|dos-program)|executable|java-archive"
_STATIC_TYPES: Final = r"image|css|javascript|font|icon|svg"
_COMMON_NAME: Final = re.compile(r"(?:^|[,/ ])CN=(?:\*\.)?([^,/]+)")
_ORGANISATION: Final = re.compile(r"(?:^|[,/ ])O=.")


def write_event_features(events: pa.ListArray, out: Matrix) -> None:
    """Write the event columns of `out` (rows, features) from a column of events (rows,)."""
    out[:, EVENT_START:] = np.nan
    lengths = pc.fill_null(pc.list_value_length(events), 0).to_numpy(zero_copy_only=False)
    if not lengths.any():
        return
    columns = _Columns(events.flatten(), np.repeat(np.arange(len(lengths)), lengths), out)
    columns.write_names()
    columns.write_queries()
    columns.write_http()
    columns.write_tls()


class _Columns:
    """The events of a batch, one after the other, and the row that each belongs to."""

    def __init__(self, events: pa.StructArray, rows: Ints, out: Matrix) -> None:
        self._events = events
        self._rows = rows
        self._out = out
        self._kinds = events.field("kind")

    def write_names(self) -> None:
        """Of the first event that has a name, whatever its kind."""
        names = self._events.field("name")
        at = np.flatnonzero(_valid(names))
        rows, first = np.unique(self._rows[at], return_index=True)
        shapes = _of_distinct(names.take(pa.array(at[first])), name_shape, NAME_COLUMNS)
        start = FEATURE_INDEX["name_is_address"]
        self._out[rows, start : start + NAME_COLUMNS] = shapes

    def write_queries(self) -> None:
        kind = _Kind(self, DNS)
        if not len(kind):
            return
        types = kind.field("query_type")
        unusual = ~pc.is_in(types, _USUAL_QUERIES).to_numpy(zero_copy_only=False) & _valid(types)
        rcodes = kind.field("rcode")
        answered = _valid(rcodes)
        failed = _equal(rcodes, "NXDOMAIN")
        kind.write("query_unusual", kind.share(unusual))
        kind.write("query_nxdomain", kind.share(failed, answered))
        kind.write("query_ttl", np.log1p(kind.least(_numbers(kind.field("ttl")))))

    def write_http(self) -> None:
        kind = _Kind(self, HTTP)
        if not len(kind):
            return
        uri, mime, status = kind.field("uri"), kind.field("mime_type"), kind.field("status")
        kind.write("http_requests", np.log1p(kind.counts))
        kind.write("http_post", kind.share(_equal(kind.field("method"), "POST")))
        kind.write("uri_script", kind.share(_matches(uri, _SCRIPT)))
        program = _matches(uri, _PROGRAM) | _matches(mime, _PROGRAM_TYPES)
        kind.write("http_program", kind.any(program))
        differs = _matches(uri, _STATIC) & _valid(mime) & ~_matches(mime, _STATIC_TYPES)
        kind.write("http_type_differs", kind.any(differs))
        codes = _numbers(status)
        told = ~np.isnan(codes)
        for name, (low, high) in (("http_success", _SUCCESS), ("http_error", _ERROR)):
            kind.write(name, kind.share((codes >= low) & (codes < high), told))
        kind.write("http_referrer", kind.share(_valid(kind.field("referrer"))))
        # what one request says best is told of the first
        kind.write("http_page", kind.first(_matches(mime, "html")))
        kind.write("http_no_type", kind.first(~_valid(mime)))
        shapes = np.empty((len(kind), URI_COLUMNS), np.float32)
        uri_shapes(*_buffers(uri), shapes)
        kind.write_first("uri_length", shapes)
        agents = kind.field("user_agent").take(pa.array(kind.starts))
        kind.write_all("agent_length", _of_distinct(agents, _agent_shape, 2))

    def write_tls(self) -> None:
        kind = _Kind(self, TLS)
        if not len(kind):
            return
        names = ("name", "version", "subject", "issuer")
        texts = [kind.field(n).take(pa.array(kind.starts)).to_pylist() for n in names]
        shapes = [_handshake_shape(*each) for each in zip(*texts, strict=True)]
        kind.write_all("tls_old", np.array(shapes, np.float32))
        ts, begin, end = (
            _numbers(kind.field(n))[kind.starts]
            for n in ("ts", "not_valid_before", "not_valid_after")
        )
        for name, span in (("certificate_validity", end - begin), ("certificate_age", ts - begin)):
            kind.write(name, np.log1p(np.maximum(span, 0.0) / _DAY))


class _Kind:
    """The events of one kind, grouped by their row."""

    def __init__(self, columns: _Columns, kind: str) -> None:
        self._at = np.flatnonzero(_equal(columns._kinds, kind))
        self._events, self._out = columns._events, columns._out
        rows = columns._rows[self._at]
        self.rows, self.starts, self.counts = np.unique(rows, return_index=True, return_counts=True)

    def __len__(self) -> int:
        return len(self._at)

    def field(self, name: str) -> pa.Array:
        """A field of these events (n,)."""
        return self._events.field(name).take(pa.array(self._at))

    def write(self, name: str, values: npt.NDArray[Any]) -> None:
        """Write one column from values by row."""
        self._out[self.rows, FEATURE_INDEX[name]] = values

    def write_all(self, name: str, values: Matrix) -> None:
        """Write columns from `name` on from values (rows, columns)."""
        start = FEATURE_INDEX[name]
        self._out[self.rows, start : start + values.shape[1]] = values

    def write_first(self, name: str, values: Matrix) -> None:
        """Write columns from `name` on from values (n, columns) of the first of each row."""
        self.write_all(name, values[self.starts])

    def share(self, which: Bools, of: Bools | None = None) -> npt.NDArray[np.float64]:
        """Share by row of the events that are so, of all or of some; NaN of none."""
        total = self.counts if of is None else np.add.reduceat(of.astype(np.int64), self.starts)
        chosen = which if of is None else which & of
        found = np.add.reduceat(chosen.astype(np.int64), self.starts)
        return np.where(total > 0, found / np.maximum(total, 1), np.nan)

    def any(self, which: Bools) -> Bools:
        """Whether any event of a row is so."""
        return np.logical_or.reduceat(which, self.starts)

    def first(self, which: Bools) -> Bools:
        """Whether the first event of a row is so."""
        return which[self.starts]

    def least(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The least known value by row; NaN for none."""
        return np.fmin.reduceat(values, self.starts)


def _valid(column: pa.Array) -> Bools:
    return column.is_valid().to_numpy(zero_copy_only=False)


def _equal(column: pa.Array, text: str) -> Bools:
    return pc.fill_null(pc.equal(column, text), False).to_numpy(zero_copy_only=False)


def _matches(column: pa.Array, pattern: str) -> Bools:
    found = pc.match_substring_regex(column, pattern)
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)


def _numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _of_distinct(column: pa.Array, shape: Callable[[str], Sequence[float]], width: int) -> Matrix:
    """What a function says of each text (n, width); of none, what it says of an empty one."""
    encoded = pc.fill_null(column, "").dictionary_encode()
    table = np.array([shape(text) for text in encoded.dictionary.to_pylist()], np.float32)
    return table.reshape(-1, width)[encoded.indices.to_numpy(zero_copy_only=False)]


def _buffers(texts: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """All text, and where each begins (n + 1,); none for null."""
    _, offsets, data = pc.fill_null(texts, "").buffers()
    starts = np.frombuffer(offsets, np.int32)[: len(texts) + 1]
    return np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8), starts


@lru_cache(maxsize=_CACHED)
def _agent_shape(agent: str) -> tuple[float, ...]:
    return float(np.log1p(len(agent))), float(_BROWSER.match(agent) is not None)


@lru_cache(maxsize=_CACHED)
def _handshake_shape(
    name: str | None, version: str | None, subject: str | None, issuer: str | None
) -> tuple[float, ...]:
    """The columns of a handshake from ``tls_old`` on, as far as texts go."""
    nan = np.nan
    of_version = (nan, nan)
    if version is not None:
        of_version = (float(version in _OLD_VERSIONS), float(version == "TLSv13"))
    if subject is None:
        return (*of_version, float(name is not None), *[nan] * 5)
    found = _COMMON_NAME.search(subject)
    common = found[1].strip().lower() if found else None
    matches = bool(name and common) and registered_domain(name) == registered_domain(common)
    issuer = issuer or ""
    return (
        *of_version,
        float(name is not None),
        float(subject == issuer),
        float(np.log1p(len(subject))),
        float(np.log1p(len(issuer))),
        float(_ORGANISATION.search(issuer) is not None),
        float(matches),
    )


_OLD_VERSIONS: Final = frozenset({"SSLv2", "SSLv3", "TLSv10", "TLSv11"})

assert FEATURES[EVENT_START].name == "name_is_address", "the writer and the schema disagree"

"""Turn raw columns of one block into a valid batch of flows: the rules all readers share.

Readers only decode; what a good value is, is decided here, so that the formats cannot differ.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.readers.flow_schema import AT_EXIT_FIELD, FLOW_SCHEMA, ORIGINAL_FIELD, REQUIRED
from zeekml.readers.ipv4 import are_dotted_quads
from zeekml.readers.rejects import BAD_VALUE, MISSING_FIELD, SourceAccount
from zeekml.readers.values import (
    ADDRESSES,
    HIGHEST,
    MAX_TIME,
    TEXTS,
    TIMES,
    UNSET,
    epoch_seconds,
)

CONN_MARKERS: Final = frozenset(
    {"conn_state", "history", "missed_bytes", "orig_pkts", "orig_ip_bytes", "resp_ip_bytes"}
)
"""Fields that no other Zeek log has."""

_SPELLINGS: Final = {
    "id_orig_h": "id.orig_h",
    "id_orig_p": "id.orig_p",
    "id_resp_h": "id.resp_h",
    "id_resp_p": "id.resp_p",
}
_PROTOCOLS: Final = {
    "1": "icmp",
    "6": "tcp",
    "17": "udp",
    "58": "icmp",
    "icmp6": "icmp",
    "icmpv6": "icmp",
    "ipv6-icmp": "icmp",
}
_MICRO: Final = 1e6
_NO_TEXT: Final = pa.array(sorted(UNSET), pa.string())
_LONGEST_ADDRESS: Final = 45  # an IPv6 address with a dotted tail

BoolArray = npt.NDArray[np.bool_]
Lines = npt.NDArray[np.int64]


def standard_name(name: str) -> str:
    """Return Zeek's own name of a field whose dots a site has replaced by underscores."""
    return _SPELLINGS.get(name, name)


def is_conn_record(fields: Mapping[str, Any] | Sequence[str] | frozenset[str]) -> bool:
    """Tell whether a record with these fields is one of conn.log.

    Other Zeek logs carry the connection's addresses as well, and `dns` its protocol; none of
    them has `CONN_MARKERS` or a protocol together with a duration or payload bytes.
    """
    if any(marker in fields for marker in CONN_MARKERS):
        return True
    return "proto" in fields and ("duration" in fields or "orig_bytes" in fields)


def canonical_address(text: str) -> str | None:
    """Return the one spelling of an IP address that stands for all others, or None.

    IPv4 addresses are dotted quads without leading zeros; IPv6 addresses are lower case and
    compressed (RFC 5952), as Zeek writes them. Zone suffixes are no part of an address.
    """
    # the cache must never hold long texts from a log
    return _canonical(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=65536)
def _canonical(text: str) -> str | None:
    try:
        if ":" not in text:
            return text if _is_ipv4(text) else None
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return None


def _is_ipv4(text: str) -> bool:
    # inet_ntop gives the text back unchanged only where inet_pton of this platform is strict
    return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text)) == text


def normal_service(text: str) -> str | None:
    """Return a service field as a sorted set joined by ``,``; None when nothing is left.

    Entries that start with ``-`` are analyzers that Zeek had tried and given up.
    """
    names = {name.strip() for name in text.split(",")}
    return ",".join(sorted(n for n in names if n and not n.startswith("-"))) or None


def standard_protocol(text: str) -> str:
    """Return Zeek's name of a transport protocol, which some name otherwise or by its number."""
    name = clean_text(text.strip().lower())
    return _PROTOCOLS.get(name.removesuffix(".0"), name)


def clean_text(text: str) -> str:
    r"""Spell control characters out as ``\xHH``, so that no output can pass one on."""
    if text.isprintable():
        return text
    return "".join(f"\\x{ord(c):02x}" if c < " " or "\x7f" <= c < "\xa0" else c for c in text)


def to_microseconds(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round seconds to microseconds; NaN stays NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded: npt.NDArray[np.float64] = np.rint(values * _MICRO) / _MICRO
    return rounded


def flow_end(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """Return the end of each flow in epoch seconds; its start where no duration is known."""
    duration = np.nan_to_num(batch.column("duration").to_numpy(zero_copy_only=False), nan=0.0)
    ends: npt.NDArray[np.float64] = batch.column("ts").to_numpy(zero_copy_only=False) + duration
    return ends


def build_batch(
    columns: Mapping[str, pa.Array],
    lines: Lines,
    *,
    sensor: str | pa.Array,
    account: SourceAccount,
    excerpt: Callable[[int], bytes],
    original: Callable[[int], bytes] | None = None,
    signatures: pa.Array | None = None,
    at_exit: BoolArray | None = None,
    unread: Mapping[str, BoolArray] | None = None,
    own_marks: bool = False,
) -> pa.RecordBatch | None:
    """Check and normalise decoded columns, enter every row in the books, and give the flows.

    A row is a flow if its `REQUIRED` values are good. Any other value that cannot be is taken for
    unknown and counted; it costs no flow.

    Parameters
    ----------
    columns : mapping of str to Array
        Any of `RECORD_COLUMNS`, each of `RAW_TYPES` (strings may be dictionary-encoded) and all
        as long as `lines`. What is absent is null.
    lines : int64 array
        1-based line number of each row.
    sensor : str or string array
        ``zeek`` or ``suricata``, for all rows or for each.
    account : SourceAccount
        Gets each row as accepted or rejected.
    excerpt : callable
        Row index to the raw record, for the rejects.
    original : callable, optional
        Row index to the record as one line of JSON; adds the column ``original``.
    signatures : list array, optional
        Alerts on the same flow.
    at_exit : bool array, optional
        Rows that were logged because the sensor stopped; adds the column `AT_EXIT_FIELD`.
    unread : mapping of str to bool array, optional
        By column, the rows in which the reader itself found a value it could not read; it is null.
    own_marks : bool
        Whether the format says by itself what stands for no text; else that is `UNSET`.

    Returns
    -------
    RecordBatch or None
        The good rows in `FLOW_SCHEMA`, None when there are none.
    """
    if not own_marks:
        columns = {name: _given(column) for name, column in columns.items()}
    n = len(lines)
    wrong = {name: rows for name, rows in (unread or {}).items() if rows.any()}
    out: dict[str, pa.Array] = {}
    for name in TIMES:
        if name in columns:
            out[name] = _times(name, columns[name], wrong)
    for name, highest in HIGHEST.items():
        if name in columns:
            out[name] = _in_range(name, columns[name], highest, wrong)
    for name in ADDRESSES:
        if name in columns:
            out[name] = _addresses(name, columns[name], wrong)
    for name in TEXTS:
        if name in columns:
            out[name] = _clean(columns[name])
    if "proto" in columns:
        out["proto"] = _map_unique(columns["proto"], lambda t: standard_protocol(t) or None)
    if "service" in columns:
        out["service"] = _map_unique(columns["service"], lambda t: normal_service(clean_text(t)))

    bad = np.zeros(n, np.bool_)
    for name in REQUIRED:
        bad |= wrong.pop(name, False)
    missing = np.zeros(n, np.bool_)
    for name in REQUIRED:
        if name not in columns:
            missing[:] = True
        elif out[name].null_count:
            missing |= ~_valid(out[name])
    keep = ~(bad | missing)
    rows = np.flatnonzero(keep)
    for row in np.flatnonzero(~keep):
        reason = BAD_VALUE if bad[row] else MISSING_FIELD
        account.reject(int(lines[row]), reason, excerpt(int(row)))
    for name, unknown in wrong.items():
        account.unknown(name, int((unknown & keep).sum()))
    if not len(rows):
        return None

    if len(rows) < n:
        mask = pa.array(keep)
        out = {name: column.filter(mask) for name, column in out.items()}
        lines = lines[rows]
        signatures = None if signatures is None else signatures.filter(mask)
        sensor = sensor if isinstance(sensor, str) else sensor.filter(mask)
    fields = list(FLOW_SCHEMA)
    arrays = [out.get(field.name) for field in fields]
    by_name = {
        "signatures": signatures,
        "sensor": _constant(sensor, len(rows))
        if isinstance(sensor, str)
        else sensor.dictionary_encode(),
        "source": _constant(account.source, len(rows)),
        "line": pa.array(lines, pa.int64()),
    }
    for i, field in enumerate(fields):
        if arrays[i] is None:
            arrays[i] = by_name.get(field.name)
        if arrays[i] is None:
            arrays[i] = pa.nulls(len(rows), field.type)
    if original is not None:
        fields.append(ORIGINAL_FIELD)
        arrays.append(pa.array([original(int(row)) for row in rows], ORIGINAL_FIELD.type))
    if at_exit is not None:
        fields.append(AT_EXIT_FIELD)
        arrays.append(pa.array(at_exit[rows]))
    ts = out["ts"].to_numpy(zero_copy_only=False)
    account.accept(len(rows), float(ts.min()), float(ts.max()))
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _constant(value: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([value]))


def _valid(column: pa.Array) -> BoolArray:
    valid: BoolArray = column.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _mark(wrong: dict[str, BoolArray], name: str, rows: BoolArray) -> None:
    """Enter the rows in which a column's value is none that can be."""
    wrong[name] = wrong[name] | rows if name in wrong else rows


def _times(name: str, column: pa.Array, wrong: dict[str, BoolArray]) -> pa.Array:
    # a negative, endless or non-finite time or duration cannot be placed on any clock
    values = column.to_numpy(zero_copy_only=False)
    # adding 0 takes the sign off -0, which only some parsers keep
    rounded = to_microseconds(epoch_seconds(values) if name == "ts" else values) + 0.0
    with np.errstate(invalid="ignore"):
        off = ~((values >= 0) & (rounded < MAX_TIME))
    if not column.null_count and not off.any():
        return pa.array(rounded)
    valid = _valid(column)
    off &= valid
    if off.any():
        _mark(wrong, name, off)
    return pa.array(rounded, mask=off | ~valid)


def _in_range(name: str, column: pa.Array, highest: int, wrong: dict[str, BoolArray]) -> pa.Array:
    limits = pc.min_max(column)
    if not limits["min"].is_valid:
        return column
    if limits["min"].as_py() >= 0 and limits["max"].as_py() <= highest:
        return column
    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    off = (values < 0) | (values > highest)
    _mark(wrong, name, off)
    return pc.if_else(pa.array(off), pa.scalar(None, column.type), column)


def _given(column: pa.Array) -> pa.Array:
    """Put null for texts that say there is none."""
    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not pa.types.is_string(values.type) or not pc.is_in(values, _NO_TEXT).true_count:
        return column
    texts = column.cast(pa.string())
    return pc.if_else(pc.is_in(texts, _NO_TEXT), pa.scalar(None, pa.string()), texts)


def _addresses(name: str, column: pa.Array, wrong: dict[str, BoolArray]) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        if are_dotted_quads(column).all():
            return column
        column = column.dictionary_encode()
    encoded = column
    plain = are_dotted_quads(encoded.dictionary)
    texts = encoded.dictionary.to_pylist()
    spelled = [
        text if text is None or good else canonical_address(text)
        for text, good in zip(texts, plain.tolist(), strict=True)
    ]
    if spelled == texts:
        return encoded.cast(pa.string())
    indices = encoded.indices
    none = np.array([a is None and t is not None for a, t in zip(spelled, texts, strict=True)])
    if none.any():
        at = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False)
        _mark(wrong, name, none[at] & _valid(indices))
    return pa.array(spelled, pa.string()).take(indices)


def _map_unique(column: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """Apply `change` to each distinct text of a column."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    changed = [None if text is None else change(text) for text in texts]
    if changed == texts:
        return encoded.cast(pa.string())
    return pa.array(changed, pa.string()).take(encoded.indices)


def _clean(column: pa.Array) -> pa.Array:
    """Spell control characters out where there are any; a scan of raw bytes tells quickly."""
    texts = column.dictionary if pa.types.is_dictionary(column.type) else column
    data = texts.buffers()[2]
    if data is None:
        return column
    raw = np.frombuffer(data, np.uint8)
    if not len(raw) or (raw.min() >= 0x20 and raw.max() <= 0x7E):
        return column.cast(pa.string())
    return _map_unique(column, clean_text)

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

from zeekml.readers import _texts, values
from zeekml.readers.flow_schema import AT_EXIT_FIELD, FLOW_SCHEMA, ORIGINAL_FIELD, REQUIRED
from zeekml.readers.one_sided import judged_sides
from zeekml.readers.record_dates import CONTEXT, OUTSIDE
from zeekml.readers.rejects import BAD_VALUE, MISSING_FIELD, SourceAccount

CONN_MARKERS: Final = frozenset(
    {"conn_state", "history", "missed_bytes", "orig_pkts", "orig_ip_bytes", "resp_ip_bytes"}
)
"""Fields that no other Zeek log has."""

_SPELLINGS: Final = {name.replace(".", "_"): name for name in (*values.ADDRESSES, *values.PORTS)}
_ICMP: Final = ("1", "58", "icmp6", "icmpv6", "ipv6-icmp")
_PROTOCOLS: Final = {"6": "tcp", "17": "udp", **dict.fromkeys(_ICMP, "icmp")}
_MICRO: Final = 1e6
_NO_TEXT: Final = pa.array(sorted(values.UNSET), pa.string())
_LONGEST_ADDRESS: Final = 45  # an IPv6 address with a dotted tail

BoolArray = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Lines = npt.NDArray[np.int64]


def standard_name(name: str) -> str:
    """Zeek's own name of a field whose dots a site has replaced by underscores."""
    return _SPELLINGS.get(name, name)


def is_conn_record(fields: Mapping[str, Any] | Sequence[str] | frozenset[str]) -> bool:
    """Tell whether a record with these fields is one of conn.log.

    Other Zeek logs carry the connection's addresses as well, and `dns` its protocol; none of
    them has `CONN_MARKERS` or a protocol together with a duration or payload bytes.
    """
    transferred = "proto" in fields and ("duration" in fields or "orig_bytes" in fields)
    return transferred or any(marker in fields for marker in CONN_MARKERS)


def canonical_address(text: str) -> str | None:
    """The one spelling of an IP address that stands for all others, or None.

    IPv4 addresses are dotted quads without leading zeros; IPv6 addresses are lower case and
    compressed (RFC 5952), as Zeek writes them. Zone suffixes are no part of an address.
    """
    # the cache must never hold long texts from a log
    return _canonical(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=65536)
def _canonical(text: str) -> str | None:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        canonical = socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return None
    # of an IPv4 address there is no other spelling, whatever inet_pton of this platform takes
    return canonical if ":" in text or canonical == text else None


def normal_service(text: str) -> str | None:
    """A service field as a sorted set joined by ``,``; None when nothing is left.

    Entries that start with ``-`` are analyzers that Zeek had tried and given up.
    """
    names = {name.strip() for name in text.split(",")}
    return ",".join(sorted(n for n in names if n and not n.startswith("-"))) or None


def standard_protocol(text: str) -> str:
    """Zeek's name of a transport protocol, which some name otherwise or by its number."""
    name = clean_text(text.strip().lower())
    return _PROTOCOLS.get(name.removesuffix(".0"), name)


def clean_text(text: str) -> str:
    r"""Spell control characters out as ``\xHH``, so that no output can pass one on."""
    if text.isprintable():
        return text
    return "".join(f"\\x{ord(c):02x}" if c < " " or "\x7f" <= c < "\xa0" else c for c in text)


def to_microseconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Round seconds to microseconds; NaN stays NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.rint(seconds * _MICRO) / _MICRO


def flow_end(batch: pa.RecordBatch) -> npt.NDArray[np.float64]:
    """The end of each flow (rows,) in epoch seconds; its start where no duration is known."""
    return _ends(batch.column("ts"), batch.column("duration"))


def _ends(ts: pa.Array, duration: pa.Array | None) -> npt.NDArray[np.float64]:
    starts = ts.to_numpy(zero_copy_only=False)
    if duration is None:
        return starts
    return starts + np.nan_to_num(duration.to_numpy(zero_copy_only=False), nan=0.0)


def build_batch(
    columns: Mapping[str, pa.Array],
    lines: Lines,
    *,
    sensor: str | pa.Array,
    account: SourceAccount,
    excerpt: Callable[[int], bytes],
    original: Callable[[int], bytes] | None = None,
    signatures: pa.Array | None = None,
    events: pa.Array | None = None,
    at_exit: BoolArray | None = None,
    unread: Mapping[str, BoolArray] | None = None,
    own_marks: bool = False,
) -> pa.RecordBatch | None:
    """Check and normalise decoded columns, enter every row in the books, and give the flows.

    A row is a flow if its `REQUIRED` values are good. Any other value that cannot be is taken for
    unknown and counted; it costs no flow. None is for no flow at all.

    The columns are any of `RECORD_COLUMNS`, each of `RAW_TYPES` (strings may be dictionary-encoded)
    and all as long as `lines`, the 1-based line numbers (rows,); what is absent is null. The sensor
    is ``zeek`` or ``suricata``, for all rows or for each. `excerpt` and `original` take a row to
    the raw record, for the rejects, and to the record as one line of JSON, for ``original``.
    `signatures` and `events` are what else was logged of the same flow, `at_exit` (for
    `AT_EXIT_FIELD`) rows logged because the sensor stopped, and `unread` by column the rows with a
    value, null here, that the reader itself could not read. With `own_marks` the format says what
    stands for no text, else `UNSET`.
    """
    n = len(lines)
    wrong = {name: rows for name, rows in (unread or {}).items() if rows.any()}
    out: dict[str, pa.Array] = {}
    for name in [known for known in values.RECORD_COLUMNS if known in columns]:
        column = columns[name] if own_marks else _given(columns[name])
        if name in values.TIMES:
            out[name] = _times(name, column, wrong)
        elif name in values.HIGHEST:
            out[name] = _in_range(name, column, values.HIGHEST[name], wrong)
        elif name in values.ADDRESSES:
            out[name] = _addresses(name, column, wrong)
        elif name == "proto":
            out[name] = _map_unique(column, lambda text: standard_protocol(text) or None)
        elif name == "service":
            out[name] = _map_unique(column, lambda text: normal_service(clean_text(text)))
        else:
            out[name] = _clean(column)

    bad, missing = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for name in REQUIRED:
        bad |= wrong.pop(name, False)
        missing |= ~valid_rows(out[name]) if name in out else True
    keep = ~(bad | missing)
    for row in np.flatnonzero(~keep).tolist():
        account.reject(int(lines[row]), BAD_VALUE if bad[row] else MISSING_FIELD, excerpt(row))
    for name, unknown in wrong.items():
        account.unknown(name, int((unknown & keep).sum()))
    if account.dates is not None and keep.any():
        off = keep & ~account.dates.read(_ends(out["ts"], out.get("duration")))
        if dropped := int(off.sum()):
            account.skip(OUTSIDE, dropped)
            keep &= ~off
    rows = np.flatnonzero(keep)
    if not len(rows):
        return None

    out["sensor"] = _constant(sensor, n) if isinstance(sensor, str) else sensor.dictionary_encode()
    out["source"] = _constant(account.source, n)
    out["line"] = pa.array(lines, pa.int64())
    if signatures is not None:
        out["signatures"] = signatures
    if events is not None:
        out["events"] = events
    if len(rows) < n:
        mask = pa.array(keep)
        out = {name: column.filter(mask) for name, column in out.items()}
    fields = list(FLOW_SCHEMA)
    arrays = [out[f.name] if f.name in out else pa.nulls(len(rows), f.type) for f in fields]
    if original is not None:
        fields.append(ORIGINAL_FIELD)
        arrays.append(pa.array([original(row) for row in rows.tolist()], ORIGINAL_FIELD.type))
    if at_exit is not None:
        fields.append(AT_EXIT_FIELD)
        arrays.append(pa.array(at_exit[rows]))
    flows = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
    _enter(flows, account)
    return flows


def _enter(flows: pa.RecordBatch, account: SourceAccount) -> None:
    """Enter flows in the books; those that are read for their context alone are none to score."""
    if account.dates is not None:
        wanted = account.dates.wanted(flow_end(flows))
        if aside := int((~wanted).sum()):
            account.skip(CONTEXT, aside)
            flows = flows.filter(pa.array(wanted))
        if not len(flows):
            return
    ts = flows.column("ts").to_numpy(zero_copy_only=False)
    account.accept(len(flows), float(ts.min()), float(ts.max()))
    sides = judged_sides(flows)
    account.judge_sides(int(sides.sum()), len(sides))


def _constant(value: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([value]))


def valid_rows(column: pa.Array) -> BoolArray:
    """Rows (n,) with a value."""
    return column.is_valid().to_numpy(zero_copy_only=False)


def _times(name: str, column: pa.Array, wrong: dict[str, BoolArray]) -> pa.Array:
    # a negative, endless or non-finite time or duration cannot be placed on any clock
    times = column.to_numpy(zero_copy_only=False)
    # adding 0 takes the sign off -0, which only some parsers keep
    rounded = to_microseconds(values.epoch_seconds(times) if name == "ts" else times) + 0.0
    with np.errstate(invalid="ignore"):
        off = ~((times >= 0) & (rounded < values.MAX_TIME))
    if not column.null_count and not off.any():
        return pa.array(rounded)
    valid = valid_rows(column)
    off &= valid
    if off.any():
        wrong[name] = wrong.get(name, False) | off
    return pa.array(rounded, mask=off | ~valid)


def _in_range(name: str, column: pa.Array, highest: int, wrong: dict[str, BoolArray]) -> pa.Array:
    limits = pc.min_max(column).as_py()
    if limits["min"] is None or 0 <= limits["min"] <= limits["max"] <= highest:
        return column
    numbers = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    off = (numbers < 0) | (numbers > highest)
    wrong[name] = wrong.get(name, False) | off
    return pc.if_else(pa.array(off), pa.scalar(None, column.type), column)


def _given(column: pa.Array) -> pa.Array:
    """Put null for texts that say there is none."""
    distinct = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not pa.types.is_string(distinct.type) or not _may_be_unset(distinct):
        return column
    texts = column.cast(pa.string())
    return pc.if_else(pc.is_in(texts, _NO_TEXT), pa.scalar(None, pa.string()), texts)


def _may_be_unset(texts: pa.StringArray) -> bool:
    """Tell, quickly, whether any text is of those that say there is none."""
    valid, data, starts = _buffers(texts)
    return _texts.may_be_unset(data, starts, valid, texts.offset)


def _buffers(texts: pa.StringArray) -> tuple[Bytes, Bytes, npt.NDArray[np.int32]]:
    """Bits of the valid rows (none for no nulls), all text, and where each begins (n + 1,)."""
    valid, offsets, data = texts.buffers()
    nothing = np.empty(0, np.uint8)
    first = texts.offset
    starts = np.zeros(1, np.int32) if offsets is None else np.frombuffer(offsets, np.int32)
    return (
        nothing if valid is None or not texts.null_count else np.frombuffer(valid, np.uint8),
        nothing if data is None else np.frombuffer(data, np.uint8),
        starts[first : first + len(texts) + 1],
    )


def _addresses(name: str, column: pa.Array, wrong: dict[str, BoolArray]) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        if are_dotted_quads(column).all():
            return column
        column = column.dictionary_encode()
    encoded = column
    plain = are_dotted_quads(encoded.dictionary)
    texts = encoded.dictionary.to_pylist()
    pairs = zip(texts, plain.tolist(), strict=True)
    spelled = [t if t is None or good else canonical_address(t) for t, good in pairs]
    if spelled == texts:
        return encoded.cast(pa.string())
    indices = encoded.indices
    none = np.array([a is None and t is not None for a, t in zip(spelled, texts, strict=True)])
    if none.any():
        at = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False)
        wrong[name] = wrong.get(name, False) | (none[at] & valid_rows(indices))
    return pa.array(spelled, pa.string()).take(indices)


def _map_unique(column: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """Apply `change` to each distinct text of a column."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    changed = [None if text is None else change(text) for text in texts]
    if changed == texts:
        return column.cast(pa.string())
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


def are_dotted_quads(texts: pa.StringArray) -> BoolArray:
    """Tell which texts (n,) are IPv4 addresses in their one spelling; nulls are not."""
    found = np.zeros(len(texts), np.bool_)
    _, data, starts = _buffers(texts)
    _texts.dotted_quads(data, starts, found.view(np.uint8))
    return found

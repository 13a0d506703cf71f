"""The read model of a notice: a line of notice.log, evidence.jsonl or the watch's state, read back.

Terminal table, `explain`, dashboard and report page all read through this module. All text becomes
printable here, once: nothing behind it holds a character that could move a cursor.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from zeekml.alerts.zeek_notice import NOTICE_COLUMNS, encode_json
from zeekml.core.text import printable
from zeekml.detection.notice import SEVERITIES, Notice
from zeekml.ensemble.classes import THREATS
from zeekml.pairs.pair_timing import PairTiming
from zeekml.readers.formats.zeek_header import unescape

_SUB: Final = NOTICE_COLUMNS.index("sub")
_ABOUT: Final = (
    "zeekml_signatures",
    "zeekml_names",
    "zeekml_agents",
    "zeekml_certificates",
    "zeekml_contacts",
)
_LISTS: Final = frozenset({"zeekml_why", "zeekml_attack", *_ABOUT})
_MAX_ITEMS: Final = 64
_TEXT: Final = 1000


class OpeningFlow(msgspec.Struct):
    """A flow that opened an incident, with its score; see `zeekml.alerts.evidence_line`."""

    ts: float
    uid: str | None
    orig_h: str = msgspec.field(name="id.orig_h")
    orig_p: int | None = msgspec.field(name="id.orig_p")
    resp_h: str = msgspec.field(name="id.resp_h")
    resp_p: int | None = msgspec.field(name="id.resp_p")
    proto: str
    service: str | None
    community_id: str | None
    score: float

    def __post_init__(self) -> None:
        for name in ("uid", "orig_h", "resp_h", "proto", "service", "community_id"):
            if (text := getattr(self, name)) is not None:
                setattr(self, name, printable(text, 120))

    @property
    def source(self) -> str:
        """Host and port of the originator."""
        return _host_and_port(self.orig_h, self.orig_p)

    @property
    def target(self) -> str:
        """Host, port and protocol of the responder."""
        return f"{_host_and_port(self.resp_h, self.resp_p)}/{self.proto}"


class LineEvidence(msgspec.Struct):
    """What an opening or updating line rests on; see `zeekml.detection.notice.Evidence`."""

    members: list[float]
    classes: dict[str, float] | None
    features: bytes  # float32, little-endian, in the order of the schema
    related: list[OpeningFlow]
    timing: PairTiming | None = None  # of the pair of hosts that was found at the flow


@dataclass(frozen=True, slots=True)
class NoticeLine:
    """One line about an incident, or about the watch's health (then `threat` is empty)."""

    id: str
    seq: int
    state: str
    note: str
    threat: str
    severity: str
    ts: float  # epoch seconds, as the next two
    first_ts: float
    last_ts: float
    score: float
    spread: float | None  # standard deviation of the members' scores; None if there is none
    threshold: float
    confidence: int | None  # percent; None if it is not known, as in lines of older versions
    rarity: str
    flows: int
    msg: str
    sub: str
    src: str  # what all flows share, or empty; so are `dst` and `p`
    dst: str
    p: int | None
    flow: str  # that triggered the line, as text
    proto: str
    uid: str
    community_id: str
    group: str  # of note and group; empty in lines of older versions
    why: tuple[str, ...]
    techniques: tuple[str, ...]
    signatures: tuple[str, ...]
    names: tuple[str, ...]
    agents: tuple[str, ...]
    certificates: tuple[str, ...]
    contacts: tuple[str, ...]
    bundle: str
    features: str  # digest of the feature schema
    raw: bytes
    evidence: LineEvidence | None = None  # where it is kept beside the line, but for closing lines

    def told(self) -> list[tuple[str, str]]:
        """What its flows were about, in words: of what, and that."""
        every = (
            ("asked for", self.names, ", "),
            ("user agents", self.agents, "; "),
            ("certificates", self.certificates, "; "),
            ("contacts", self.contacts, "; "),
            ("Suricata alerts", self.signatures, "; "),
        )
        return [(what, between.join(texts)) for what, texts, between in every if texts]

    def columns(self) -> dict[str, Any]:
        """Columns as the line has them, by name."""
        return _columns(self.raw) or {}


def read_line(line: bytes) -> NoticeLine | None:
    """Read a line of a notice.log, JSON or TSV, with our columns or only Zeek's.

    None for what is no notice of ours: headers, half lines, lines of others.
    """
    fields = _columns(line)
    name = fields.get("zeekml_id") if fields is not None else None
    if fields is None or not isinstance(name, str) or not name.isalnum():
        return None
    threat, severity = _text(fields, "zeekml_threat"), _text(fields, "zeekml_severity")
    seq, ts = _count(fields, "zeekml_seq"), _number(fields, "ts")
    if seq is None or ts is None or severity not in SEVERITIES or threat not in (*THREATS, ""):
        return None
    first, last = (_number(fields, f"zeekml_{end}_ts") for end in ("first", "last"))
    return NoticeLine(
        id=_text(fields, "zeekml_id", 40),
        seq=seq,
        state=_text(fields, "zeekml_state", 20),
        note=_text(fields, "note", 80),
        threat=threat,
        severity=severity,
        ts=ts,
        first_ts=ts if first is None else first,
        last_ts=ts if last is None else last,
        score=_number(fields, "zeekml_score") or 0.0,
        spread=_number(fields, "zeekml_spread"),
        threshold=_number(fields, "zeekml_threshold") or 0.0,
        confidence=_count(fields, "zeekml_confidence"),
        rarity=_text(fields, "zeekml_rarity"),
        flows=_count(fields, "zeekml_flows") or 0,
        msg=_text(fields, "msg"),
        sub=_text(fields, "sub"),
        src=_text(fields, "src", 64),
        dst=_text(fields, "dst", 64),
        p=_count(fields, "p"),
        flow=_flow(fields),
        proto=_text(fields, "proto", 20),
        uid=_text(fields, "uid", 64),
        community_id=_text(fields, "community_id", 64),
        group=_text(fields, "zeekml_group", 64),
        why=_list(fields, "zeekml_why"),
        techniques=_list(fields, "zeekml_attack"),
        signatures=_list(fields, "zeekml_signatures"),
        names=_list(fields, "zeekml_names"),
        agents=_list(fields, "zeekml_agents"),
        certificates=_list(fields, "zeekml_certificates"),
        contacts=_list(fields, "zeekml_contacts"),
        bundle=_text(fields, "zeekml_bundle", 64),
        features=_text(fields, "zeekml_features", 64),
        raw=line,
    )


def read_notice(notice: Notice) -> NoticeLine:
    """A notice as whoever reads its line in notice.log sees it."""
    line = read_line(encode_json(notice))
    assert line is not None
    return line


class _Explained(msgspec.Struct):
    notice: msgspec.Raw
    evidence: LineEvidence | None


def read_explained(line: bytes) -> NoticeLine:
    """Read a line of evidence.jsonl: a notice and what it rests on; `ValueError`: damaged."""
    told = msgspec.json.decode(line, type=_Explained)
    return with_evidence(bytes(told.notice), told.evidence)


def with_evidence(line: bytes, evidence: LineEvidence | bytes | None) -> NoticeLine:
    """Read a line of notice.log beside which its evidence is kept, as JSON or decoded.

    `ValueError`: it is damaged.
    """
    read = read_line(line)
    if read is None or not read.threat:
        raise ValueError("no notice")
    if isinstance(evidence, bytes):
        evidence = msgspec.json.decode(evidence, type=LineEvidence)
    return replace(read, evidence=evidence)


def _host_and_port(host: str, port: int | None) -> str:
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _columns(line: bytes) -> dict[str, Any] | None:
    fields = _object(line) if line.startswith(b"{") else _from_tsv(line)
    if fields is None or "zeekml_id" in fields:
        return fields
    # only Zeek's columns: ours stand in `sub`, and the text of a health notice with them
    sub = fields.get("sub")
    extras = _object(sub.encode("utf-8", "replace")) if isinstance(sub, str) else None
    return None if extras is None else {**fields, "sub": "", **extras}


def _flow(fields: dict[str, Any]) -> str:
    source, target = _text(fields, "id.orig_h", 64), _text(fields, "id.resp_h", 64)
    if not source:
        return ""
    numbers = [_count(fields, f"id.{end}_p") for end in ("orig", "resp")]
    ports = ["" if number is None else f" port {number}" for number in numbers]
    return f"{source}{ports[0]} → {target}{ports[1]} {_text(fields, 'proto', 20)}".rstrip()


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _from_tsv(line: bytes) -> dict[str, Any] | None:
    if line.startswith(b"#") or not line.endswith(b"\n"):
        return None
    cells = line[:-1].split(b"\t")
    if len(cells) <= _SUB:
        return None
    fields: dict[str, Any] = {}
    for name, cell in zip(NOTICE_COLUMNS, cells, strict=False):
        if cell == b"-":
            continue
        items = cell.split(b",") if name in _LISTS else [cell]
        if cell == b"(empty)":
            items = []
        texts = [unescape(item).decode("utf-8", "replace") for item in items]
        fields[name] = texts if name in _LISTS else "".join(texts)
    return fields


def _text(fields: dict[str, Any], name: str, limit: int = _TEXT) -> str:
    value = fields.get(name)
    return printable(value, limit) if isinstance(value, str) else ""


def _list(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if not isinstance(value, list):
        return ()
    return tuple(printable(item, _TEXT) for item in value[:_MAX_ITEMS] if isinstance(item, str))


def _number(fields: dict[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _count(fields: dict[str, Any], name: str) -> int | None:
    number = _number(fields, name)
    return int(number) if number is not None and 0 <= number < 2**63 else None

"""The allowlist: flows that are known and shall raise no notice, each entry with who says so.

`rules/allowlist.yaml` explains every key to its users; this module holds them to it, and adds
entries to such a file, whose own text and comments stay as they are. What entries do to flows is
in `allowlist_matcher`, what that does to incidents in `allowlist_filter`.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable
from zeekml.detection.notice import NOTES, Notice
from zeekml.detection.policy import default_rules_dir
from zeekml.detection.yaml_values import Value, parse_yaml
from zeekml.errors import ConfigError
from zeekml.features.addresses import IPNetwork
from zeekml.readers.batch_builder import canonical_address

ALLOWLIST_FILE: Final = "allowlist.yaml"
MAX_BYTES: Final = 4 << 20
MAX_ENTRIES: Final = 20_000

DIRECTIONS: Final = ("inbound", "outbound", "internal", "external")
"""By whether originator and responder are local: no and yes, yes and no, both, neither."""

ADDRESS_SCOPES: Final = ("cidr", "src", "dst", "port", "service", "direction")
TEXT_SCOPES: Final = ("domain", "sni", "agent")
"""What flows were about, as far as the sensor logs it."""

SCOPES: Final = (*ADDRESS_SCOPES, *TEXT_SCOPES, "note", "threat", "uid")
REQUIRED: Final = ("reason", "owner", "expiry")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

_KEYS: Final = ("id", *SCOPES, *REQUIRED)
_DAYS: Final = re.compile(r"(\d{1,4})d", re.ASCII)
_EMPTY_LIST: Final = re.compile(rb"^entries:[ \t]*\[[ \t]*\]", re.MULTILINE)
_LIST: Final = re.compile(rb"^entries:", re.MULTILINE)
_NEW: Final = b"version: 1\n\nentries:\n"

Scope = str | int | Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Entry:
    """Which flows are known, for which notes, and who says so until when.

    A flow must fit every scope that is not empty.
    """

    id: str  # its own, or digits that follow from its scopes
    line: int  # 1-based line in the file
    cidr: tuple[IPNetwork, ...]  # networks of either host, of the originator, of the responder
    src: tuple[IPNetwork, ...]
    dst: tuple[IPNetwork, ...]
    ports: frozenset[int]  # ports of the responder
    services: frozenset[str]  # of which the flow has at least one
    directions: frozenset[str]  # some of DIRECTIONS
    notes: frozenset[str]  # notes that the flows shall not raise; empty for all
    uids: frozenset[str]  # as the sensor writes them
    # all names, server names and user agents of the flow must be of these: a name if it is one of
    # them or under one, an agent if it is one of them or begins with one that ends in *
    domains: frozenset[str]
    server_names: frozenset[str]
    agents: frozenset[str]
    reason: str
    owner: str
    expiry: float  # when it ceases to count, epoch seconds; infinite for never

    @property
    def until(self) -> str:
        """The expiry in words of the file."""
        if math.isinf(self.expiry):
            return "never"
        return datetime.fromtimestamp(self.expiry, UTC).strftime(_MOMENT)


_SCOPES_OF: Final = attrgetter(
    "cidr", "src", "dst", "ports", "services", "directions", "notes", "uids"
)
_TEXTS_OF: Final = attrgetter("domains", "server_names", "agents")
_DOMAIN: Final = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}")


@dataclass(frozen=True, slots=True)
class Allowlist:
    """All entries of a file."""

    file: str  # what messages call it
    source: bytes  # its bytes
    # time of day when it was read, epoch seconds: what had expired by then covers nothing, not
    # even in older logs
    read_at: float
    entries: tuple[Entry, ...]

    @property
    def active(self) -> tuple[Entry, ...]:
        """Entries that had not expired when the file was read."""
        return tuple(entry for entry in self.entries if entry.expiry > self.read_at)

    @property
    def expired(self) -> tuple[Entry, ...]:
        """Entries that had."""
        return tuple(entry for entry in self.entries if entry.expiry <= self.read_at)

    def warnings(self) -> list[str]:
        """A line for each expired entry, for whoever looks after the file."""
        return [
            f"{self.file}:{entry.line}: the entry {entry.id} of {entry.owner} expired "
            f"({entry.until}) and silences nothing any more; renew or remove it"
            for entry in self.expired
        ]

    def same_as(self, other: Allowlist) -> bool:
        """Whether both cover the same flows."""
        return self.active == other.active


EMPTY: Final = Allowlist(ALLOWLIST_FILE, b"", 0.0, ())


def allowlist_path(rules: Path | None) -> Path:
    """Where the allowlist is that belongs to some rules."""
    chosen = default_rules_dir() if rules is None else rules
    return (chosen if chosen.is_dir() else chosen.parent) / ALLOWLIST_FILE


def load_allowlist(
    rules: Path | None = None, *, clock: Callable[[], float] = time.time
) -> Allowlist:
    """Read the allowlist beside a policy, `rules` being what `load_policy` takes.

    Without the file, the allowlist is empty. Raises `ConfigError`, which names file and line, if
    it cannot be read or holds something wrong.
    """
    path = allowlist_path(rules)
    name = printable(str(path), 300)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Allowlist(name, b"", clock(), ())
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot read the allowlist ({error.strerror}); check its permissions"
        ) from error
    return parse_allowlist(text, name, now=clock())


def parse_allowlist(text: bytes, name: str = ALLOWLIST_FILE, *, now: float) -> Allowlist:
    """Read an allowlist from the bytes of its file."""
    if not text:
        return Allowlist(name, b"", now, ())
    root = parse_yaml(text, name, most=MAX_BYTES)
    top = root.mapping(("version",), ("entries",))
    top["version"].integer(1, 1)
    listed = top.get("entries")
    items = [] if listed is None or listed.absent else listed.sequence()
    if len(items) > MAX_ENTRIES:
        top["entries"].fail(f"holds more than {MAX_ENTRIES:,} entries; use wider networks")
    entries: list[Entry] = []
    lines: dict[str, int] = {}
    for item in items:
        entry = _entry(item)
        if entry.id in lines:
            item.fail(
                f"is called {entry.id}, as is the entry in line {lines[entry.id]}; "
                "remove one, or give it another id"
            )
        lines[entry.id] = entry.line
        entries.append(entry)
    return Allowlist(name, text, now, tuple(entries))


def _entry(value: Value) -> Entry:
    keys = value.mapping(REQUIRED, ("id", *SCOPES))
    if not any(scope in keys for scope in SCOPES):
        value.fail(f"has no scope and would silence everything; add one of {', '.join(SCOPES)}")
    notes = {item.choice(NOTES.values()) for item in _items(keys, "note")}
    notes |= {NOTES[item.choice(NOTES)] for item in _items(keys, "threat")}
    entry = Entry(
        id="",
        line=value.line,
        cidr=_networks(keys, "cidr"),
        src=_networks(keys, "src"),
        dst=_networks(keys, "dst"),
        ports=frozenset(item.integer(0, 65_535) for item in _items(keys, "port")),
        services=frozenset(_word(item).lower() for item in _items(keys, "service")),
        directions=frozenset(item.choice(DIRECTIONS) for item in _items(keys, "direction")),
        notes=frozenset(notes),
        uids=frozenset(_word(item) for item in _items(keys, "uid")),
        domains=frozenset(_domain(item) for item in _items(keys, "domain")),
        server_names=frozenset(_domain(item) for item in _items(keys, "sni")),
        agents=frozenset(_agent(item) for item in _items(keys, "agent")),
        reason=printable(_word(keys["reason"]), 400),
        owner=printable(_word(keys["owner"]), 100),
        expiry=_expiry(keys["expiry"]),
    )
    if "id" in keys:
        return replace(entry, id=keys["id"].matching(_ID, "vulnerability-scanner"))
    # an entry without texts keeps the digits that it always had
    texts = _TEXTS_OF(entry)
    scopes = [*_SCOPES_OF(entry), *(texts if any(texts) else ())]
    told = repr([sorted(map(str, scope)) for scope in scopes])
    return replace(entry, id=blake2b(told.encode(), digest_size=4).hexdigest())


def _items(keys: dict[str, Value], name: str) -> list[Value]:
    if name not in keys:
        return []
    items = keys[name].items()
    if not items:
        keys[name].fail("is empty and would fit everything; name something or remove the key")
    return items


def _word(value: Value) -> str:
    text = value.text().strip()
    if not text:
        value.fail("must not be empty")
    return text


def _domain(value: Value) -> str:
    text = _word(value).lower().removeprefix("*.").strip(".")
    if not is_domain(text):
        value.refuse("a domain such as example.net (which covers www.example.net)", text)
    return text


def is_domain(text: str) -> bool:
    """Whether a text can be the domain of an entry; an address is none."""
    return bool(_DOMAIN.fullmatch(text)) and canonical_address(text) is None


def _agent(value: Value) -> str:
    text = _word(value)
    if text == "*":
        value.fail("would cover every user agent; begin with what it begins with")
    return text


def _networks(keys: dict[str, Value], name: str) -> tuple[IPNetwork, ...]:
    found: list[IPNetwork] = []
    for item in _items(keys, name):
        text = item.text().strip()
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            examples = "such as 10.0.0.5 or 10.0.0.0/8 (without host bits)"
            item.refuse(f"an address or a network {examples}", text)
    return tuple(found)


def _expiry(value: Value) -> float:
    text = value.text().strip()
    if text == "never":
        return math.inf
    try:
        if _DATE.fullmatch(text):
            # through that day
            began = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
            return (began + timedelta(days=1)).timestamp()
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        day = "a day such as 2027-01-31 (it counts through that day, UTC)"
        value.refuse(f"{day}, a time such as 2027-01-31T12:00:00Z, or never", text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class SuppressedBy(msgspec.Struct, frozen=True):
    """The entry that silenced an incident, as it was when that began; all texts are plain."""

    id: str
    reason: str
    owner: str
    expiry: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A line that was not written to notice.log, and what silenced it."""

    notice: Notice
    by: SuppressedBy


def expiry_from_now(text: str) -> str:
    """An expiry as the file has it, for one such as ``30d``, from now; others stay as they are."""
    days = _DAYS.fullmatch(text)
    if days is None:
        return text
    return (datetime.now(UTC) + timedelta(days=int(days[1]))).strftime(_MOMENT)


def append_entry(path: Path, values: Mapping[str, Scope]) -> Entry:
    """Add an entry to the end of an allowlist file, which is made if there is none.

    The file is replaced in one step, and only by what can be read.
    """
    name = printable(str(path), 300)
    try:
        before = path.read_bytes()
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        before, mode = _NEW, 0o640
    except OSError as error:
        raise ConfigError(f"{name}: cannot read the allowlist ({error.strerror})") from error
    known = parse_allowlist(before, name, now=time.time())
    # the file as it must be for an item of `entries` to follow at its end
    after = before if before.endswith(b"\n") else before + b"\n"
    if not _LIST.search(after):
        after += b"entries:\n"
    after = _EMPTY_LIST.sub(b"entries:", after, count=1) + _text(values)
    read = parse_allowlist(after, name, now=known.read_at)
    unchanged = [entry.id for entry in read.entries[:-1]] == [entry.id for entry in known.entries]
    if len(read.entries) != len(known.entries) + 1 or not unchanged:
        raise ConfigError(
            f"{name}: does not end in the list of entries, each indented by two spaces; add the "
            "entry by hand"
        )
    with as_output_error(path), replacing(path.resolve()) as file:
        file.write(after)
        os.fchmod(file.fileno(), mode)
    return read.entries[-1]


def _text(values: Mapping[str, Scope]) -> bytes:
    # JSON's strings and lists are YAML's, whatever is in them
    lines = [f"{key}: {json.dumps(values[key], default=list)}" for key in _KEYS if key in values]
    lines += [f"{json.dumps(key)}: null" for key in sorted(set(values) - set(_KEYS))]
    first, *rest = lines or ["{}"]
    return "".join([f"  - {first}\n", *(f"    {line}\n" for line in rest)]).encode()

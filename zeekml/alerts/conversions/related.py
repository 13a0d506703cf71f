"""Techniques of ATT&CK, signatures of the same flows, and what can be looked up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from zeekml.alerts.attack_names import ATTACK_NAMES
from zeekml.alerts.conversions.flow import version_of
from zeekml.alerts.conversions.plain import Values
from zeekml.detection.attack_ids import TACTICS, VERSION

_HOSTNAME, _ADDRESS, _USER_AGENT = 1, 2, 16  # types of observables
_RULE: Final = 1  # type of an analytic


def attacks(value: Sequence[str], _: Values) -> list[dict[str, Any]] | None:
    """For each technique its tactic, technique and sub-technique, with their names."""
    return [_attack(technique) for technique in value] or None


def framework(value: Sequence[str], _: Values) -> str | None:
    """`MITRE ATT&CK`, where there are techniques."""
    return "MITRE ATT&CK" if value else None


def technique_ids(value: Sequence[str], _: Values) -> list[str] | None:
    """The techniques without sub-techniques."""
    return _each(technique.partition(".")[0] for technique in value)


def technique_names(value: Sequence[str], _: Values) -> list[str] | None:
    """Their names, where they are known."""
    names = (ATTACK_NAMES.get(technique.partition(".")[0]) for technique in value)
    return _each(name.name for name in names if name)


def subtechnique_ids(value: Sequence[str], _: Values) -> list[str] | None:
    """The sub-techniques."""
    return _each(technique for technique in value if "." in technique)


def tactic_ids(value: Sequence[str], _: Values) -> list[str] | None:
    """The tactics of the techniques, where they are known."""
    return _each(_tactics(value))


def tactic_names(value: Sequence[str], _: Values) -> list[str] | None:
    """Their names."""
    return _each(TACTICS[tactic] for tactic in _tactics(value))


def signatures(value: Sequence[str], _: Values) -> list[dict[str, Any]] | None:
    """Suricata's signatures as analytics of type 1, Rule."""
    return [{"type_id": _RULE, "type": "Rule", "name": name} for name in value] or None


def source_observable(value: Any, _: Values) -> list[dict[str, Any]] | None:
    """The address as an observable of type 2."""
    return _observables("evidences[0].src_endpoint.ip", _ADDRESS, "IP Address", [value])


def destination_observable(value: Any, _: Values) -> list[dict[str, Any]] | None:
    """The address as an observable of type 2."""
    return _observables("evidences[0].dst_endpoint.ip", _ADDRESS, "IP Address", [value])


def name_observables(value: Sequence[str], _: Values) -> list[dict[str, Any]] | None:
    """The names as observables of type 1, Hostname."""
    return _observables("unmapped.zeekml_names", _HOSTNAME, "Hostname", value)


def agent_observables(value: Sequence[str], _: Values) -> list[dict[str, Any]] | None:
    """The user agents as observables of type 16."""
    return _observables("unmapped.zeekml_agents", _USER_AGENT, "HTTP User-Agent", value)


def _observables(
    name: str, type_id: int, kind: str, values: Sequence[str]
) -> list[dict[str, Any]] | None:
    found = [value for value in values if type_id != _ADDRESS or version_of(value)]
    return [{"name": name, "type_id": type_id, "type": kind, "value": v} for v in found] or None


def _attack(technique: str) -> dict[str, Any]:
    whole, _, part = technique.partition(".")
    told: dict[str, Any] = {"version": VERSION}
    if known := ATTACK_NAMES.get(whole):
        told["tactic"] = {"uid": known.tactic, "name": TACTICS[known.tactic]}
    told["technique"] = _named(whole)
    if part:
        told["sub_technique"] = _named(technique)
    return told


def _named(technique: str) -> dict[str, str]:
    known = ATTACK_NAMES.get(technique)
    return {"uid": technique, "name": known.name} if known else {"uid": technique}


def _tactics(techniques: Sequence[str]) -> list[str]:
    known = (ATTACK_NAMES.get(technique.partition(".")[0]) for technique in techniques)
    return [technique.tactic for technique in known if technique]


def _each(items: Iterable[str]) -> list[str] | None:
    """Each of them once, in their order."""
    return list(dict.fromkeys(items)) or None

"""The whole picture of one incident: what `zeekml explain` says, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from zeekml.alerts.evidence_line import features_of
from zeekml.core.text import printable
from zeekml.detection.notice import SHORT_DIGEST
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.explanation import Contribution, explain
from zeekml.ensemble.feature_text import amount, phrase
from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import DataError
from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH
from zeekml.triage.lookup import ExplainedLine

MOST_REASONS: Final = 12
_QUIET: Final = "zeekml rules allow --rules DIR"


@dataclass(frozen=True)
class Reason:
    """Something that raised the score.

    Attributes
    ----------
    contribution
        As in `zeekml.ensemble.explanation`.
    words
        What its value says.
    usual
        The usual value, and where most lie.
    place
        Where the value lies among the usual ones.
    """

    contribution: Contribution
    words: str
    usual: str
    place: str


@dataclass(frozen=True)
class Explained:
    """One incident.

    Attributes
    ----------
    lines
        All that are kept, in order; the last tells how it stands.
    at
        The line that is explained: the last with evidence.
    reasons
        Empty if the bundle at hand is not the one that scored.
    same_bundle
        Whether it is.
    agreeing
        Members whose own score reaches the threshold.
    silence
        A command that adds an entry to the allowlist for what happened, and no more.
    """

    lines: Sequence[ExplainedLine]
    at: ExplainedLine | None
    reasons: Sequence[Reason]
    same_bundle: bool
    usual_is_of: str
    agreeing: int
    silence: str

    @property
    def notice(self) -> dict[str, Any]:
        """How the incident stands."""
        return self.lines[-1].notice

    @property
    def members(self) -> list[float]:
        """Each member's score of the flow that is explained."""
        evidence = self.at.evidence if self.at is not None else None
        return [] if evidence is None else [float(score) for score in evidence["members"]]

    @property
    def related(self) -> list[dict[str, Any]]:
        """The strongest flows of the opening, as far as the lines are kept."""
        for line in self.lines:
            if line.evidence is not None and line.evidence["related"]:
                return list(line.evidence["related"])
        return []

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        evidence = self.at.evidence if self.at is not None else None
        return {
            "notice": self.notice,
            "lines": [line.notice for line in self.lines],
            "members": self.members,
            "agreeing_members": self.agreeing,
            "classes": evidence["classes"] if evidence is not None else None,
            "same_bundle": self.same_bundle,
            "usual_source": self.usual_is_of,
            "reasons": [
                {
                    "feature": reason.contribution.feature,
                    "value": reason.contribution.value,
                    "usual": reason.contribution.usual,
                    "unit": reason.contribution.unit,
                    "contribution": reason.contribution.contribution,
                    "words": reason.words,
                    "usual_range": reason.usual,
                    "place": reason.place,
                }
                for reason in self.reasons
            ],
            "related": self.related,
            "silence": self.silence,
        }


def explain_incident(
    lines: Sequence[ExplainedLine], bundle: Bundle, ensemble: Ensemble | None = None
) -> Explained:
    """Put together what is known of an incident.

    Parameters
    ----------
    lines
        From `find_incident`; not empty.
    bundle
        The one that scored, if it is at hand: reasons are computed from its models.
    ensemble
        One made from it already, for many incidents.

    Raises
    ------
    DataError
        The evidence is damaged.
    """
    at = next((line for line in reversed(lines) if line.evidence is not None), None)
    same = lines[-1].notice.get("zeekml_bundle") == bundle.short_digest
    reasons: list[Reason] = []
    agreeing = 0
    if at is not None and at.evidence is not None:
        try:
            threshold = float(at.notice["zeekml_threshold"])
            agreeing = sum(float(score) >= threshold for score in at.evidence["members"])
            if same and at.notice.get("zeekml_features") == SCHEMA_HASH[:SHORT_DIGEST]:
                row = features_of(at.evidence)
                if row.shape != (len(FEATURES),):
                    raise ValueError(f"{len(row)} features")
                matrix = np.ascontiguousarray(row[None, :], np.float32)
                found = explain(ensemble or Ensemble(bundle), matrix, MOST_REASONS)[0]
                reasons = [_reason(item, bundle) for item in found]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the evidence of {lines[-1].id} is damaged: {error}") from error
    return Explained(
        lines=lines,
        at=at,
        reasons=reasons,
        same_bundle=same,
        usual_is_of=bundle.manifest.usual_source,
        agreeing=agreeing,
        silence=_silence(lines[-1].notice),
    )


def end_of(flow: Mapping[str, Any], side: str) -> str:
    """Host and port of a related flow, as text; `side` is ``orig`` or ``resp``."""
    host, port = printable(str(flow[f"id.{side}_h"]), 60), flow[f"id.{side}_p"]
    if port is None:
        return host
    return f"[{host}]:{int(port)}" if ":" in host else f"{host}:{int(port)}"


def _reason(item: Contribution, bundle: Bundle) -> Reason:
    feature, value = item.feature, item.value
    usual = bundle.manifest.usual.get(feature)
    if isinstance(value, str) or isinstance(item.usual, str) or usual is None:
        words = phrase(feature, value)
        if isinstance(value, str) and ":" not in words:
            # a name alone, such as that of a service, does not say what it is the name of
            words = f"{feature.replace('_', ' ')}: {words}"
        return Reason(item, words, amount(feature, item.usual), "")
    low, high = amount(feature, usual.p05), amount(feature, usual.p95)
    if value > usual.p95:
        place = "above 95 % of what is usual"
    elif value < usual.p05:
        place = "below 95 % of what is usual"
    else:
        place = "above half of what is usual" if value > usual.p50 else "within what is usual"
    return Reason(
        item, phrase(feature, value), f"{amount(feature, usual.p50)} ({low} to {high})", place
    )


def _silence(notice: dict[str, Any]) -> str:
    """The entry that fits what all flows of the incident share."""
    words = [_QUIET]
    for option, key in (("--src", "src"), ("--dst", "dst")):
        if notice.get(key):
            words.append(f"{option} {printable(str(notice[key]), 60)}")
    if notice.get("p") is not None:
        words.append(f"--port {int(notice['p'])}")
    words.append(f"--note {printable(str(notice['note']), 60)}")
    words.append('--reason "..." --owner "..." --expiry 30d')
    return " ".join(words)

"""What one flow alone is enough for: floors under the models, and single flows that score high.

A floor is a set of conditions on a flow's features; a flow that meets all of them opens its
detector's incident whatever models, thresholds and minimums say. A rule with a threshold (`alone`
in the policy) asks besides that the models agree: on the score, the threat and the members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zeekml.detection.flow_conditions import Condition, plain, read_conditions
from zeekml.detection.yaml_values import Value

_MOST_RULES: Final = 32  # of one detector and key: each costs every flow a comparison


@dataclass(frozen=True, slots=True)
class FlowRule:
    """Conditions that one flow has to meet, all of them."""

    conditions: tuple[Condition, ...]
    # what the flow's own score must reach besides; None for a floor, which asks no models
    threshold: float | None = None

    def text(self) -> str:
        """The reason that a notice gives first, such as ``floor: 50 or more hosts … and …``."""
        told = [condition.text() for condition in self.conditions]
        if self.threshold is not None:
            told.append(f"a score of {plain(self.threshold)} or more")
        return f"{self.key}: {' and '.join(told)}"

    def brief(self) -> str:
        """What its message says: the first condition."""
        return f"{self.key}: {self.conditions[0].text()}"

    @property
    def key(self) -> str:
        """The key of the policy under which it stands."""
        return "floor" if self.threshold is None else "alone"

    def __str__(self) -> str:
        """As `zeekml rules show` prints it."""
        score = () if self.threshold is None else (f"score >={plain(self.threshold)}",)
        return ", ".join([*map(str, self.conditions), *score])


def rule_in(why: Sequence[str]) -> str:
    """The text of the rule among the reasons of a notice; empty if no flow alone was enough."""
    return next((reason for reason in why if reason.startswith(("floor: ", "alone: "))), "")


def read_floors(value: Value) -> tuple[FlowRule, ...]:
    """Floors: one mapping of conditions, or a list of such."""
    return _distinct(value, [(item, FlowRule(read_conditions(item))) for item in value.items()])


def read_alone(value: Value) -> tuple[FlowRule, ...]:
    """Rules with a threshold: ``{when: {…}, threshold: 0.5}``, or a list of such."""
    rules = []
    for item in value.items():
        entry = item.mapping(("when", "threshold"))
        rule = FlowRule(read_conditions(entry["when"]), entry["threshold"].share(auto=False))
        rules.append((item, rule))
    return _distinct(value, rules)


def _distinct(value: Value, rules: list[tuple[Value, FlowRule]]) -> tuple[FlowRule, ...]:
    if not rules:
        value.fail("must hold at least one entry; leave the key out if there is none")
    if len(rules) > _MOST_RULES:
        value.fail(f"holds more than {_MOST_RULES} entries; keep those that matter")
    seen: dict[frozenset[Condition], Value] = {}
    for item, rule in rules:
        first = seen.setdefault(frozenset(rule.conditions), item)
        if first is not item:
            item.fail(f"asks for the same as {first.path} (line {first.line}); remove one")
    return tuple(rule for _, rule in rules)

"""A change that adaptation proposes: site rules, thresholds, or members of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import msgspec

from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewBundle, NewMember
from zeekml.ensemble.manifest import MemberEntry
from zeekml.ensemble.site_rule import SiteRule

Kind = Literal["thresholds", "members", "rules", "heads"]

KINDS: Final[Mapping[Kind, str]] = {
    "thresholds": "thresholds raised for the threats of the false alarms",
    "members": "the members that agree with the labels",
    "rules": "site rules: what the false alarms have in common",
    "heads": "each member's last layer fitted anew",
}
"""What each kind of change is, from mild to strong."""


@dataclass(frozen=True)
class BundleChange:
    """What becomes different in a bundle."""

    kind: Kind
    thresholds: Mapping[str, float] = field(default_factory=dict)  # by threat, if raised
    rules: tuple[SiteRule, ...] = ()  # further ones
    members: tuple[int, ...] = ()  # those that stay, if not all do
    models: tuple[bytes, ...] = ()  # .tflite files in place of all members'

    @property
    def empty(self) -> bool:
        """Whether nothing becomes different."""
        return not (self.thresholds or self.rules or self.members or self.models)

    @property
    def rescores(self) -> bool:
        """Whether flows get other scores."""
        return bool(self.members or self.models)

    def on(self, bundle: Bundle) -> Bundle:
        """The bundle with the change, in memory alone; its digest stays that of the parent."""
        manifest = bundle.manifest
        models = self.models or bundle.models
        entries: tuple[MemberEntry, ...] = manifest.members
        if self.members:
            models = tuple(models[i] for i in self.members)
            entries = tuple(entries[i] for i in self.members)
        changed = msgspec.structs.replace(
            manifest,
            thresholds={**manifest.thresholds, **self.thresholds},
            site_rules=(*manifest.site_rules, *self.rules),
            members=entries,
        )
        return replace(bundle, manifest=changed, models=models)

    def new_bundle(self, bundle: Bundle) -> NewBundle:
        """The parts of a child of the bundle."""
        changed = self.on(bundle)
        entries = zip(changed.models, changed.manifest.members, strict=True)
        return replace(
            NewBundle.from_parent(bundle),
            members=[NewMember(model, entry.outputs) for model, entry in entries],
            thresholds=changed.manifest.thresholds,
            site_rules=changed.manifest.site_rules,
        )

"""What is known of a flow: the allowlist's entries, and the site rules of the bundle.

Both are bits of whole numbers, the entries below the rules. `AllowlistFilter` asks which cover a
candidate, for which notes, and what to call the first of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zeekml.detection.allowlist import Allowlist, SuppressedBy
from zeekml.detection.allowlist_matcher import AllowlistMatcher
from zeekml.detection.candidates import Candidates
from zeekml.detection.notice import NOTES
from zeekml.detection.rules import DetectionRules
from zeekml.detection.site_rules import SiteRules, words


class KnownTraffic:
    """Knows what covers a candidate."""

    def __init__(
        self, allowlist: Allowlist, local_nets: Sequence[str], rules: DetectionRules
    ) -> None:
        self._allowlist = allowlist
        self._matcher = AllowlistMatcher(allowlist, local_nets)
        self._site = SiteRules(rules.site_rules, rules.policy)
        self._bundle = rules.origin.bundle
        self._shift = len(self._matcher.entries)
        # by note, what is about it
        self.of_note: Mapping[str, int] = {
            note: self._matcher.of_note[note]
            | sum(
                1 << self._shift + place
                for place, rule in enumerate(self._site.rules)
                if rule.threat == threat
            )
            for threat, note in NOTES.items()
        }

    def masks(self, candidates: Candidates) -> list[int]:
        """What covers each candidate, for whatever notes; an empty list if there is nothing."""
        if not self._matcher.entries and not self._site.rules:
            return []
        masks = [0] * len(candidates)
        if self._matcher.entries:
            masks = self._matcher.masks(candidates)
        for place, covered in enumerate(self._site.covered(candidates.matrix)):
            for row in covered.nonzero()[0].tolist():
                masks[row] |= 1 << self._shift + place
        return masks

    def silenced_by(self, mask: int, note: str) -> SuppressedBy | None:
        """The first that covers a candidate (of `masks`), for a note; or None."""
        if (entry := self._matcher.entry_for(mask, note)) is not None:
            told = entry.id, entry.reason, entry.owner, entry.until
            return SuppressedBy(*told, self._allowlist.file, entry.line)
        own = mask & self.of_note[note]
        if not own:
            return None
        rule = self._site.rules[(own & -own).bit_length() - 1 - self._shift]
        reason = f"like {rule.labels} labelled false alarms: {words(rule)}"
        return SuppressedBy(rule.name, reason, "zeekml adapt", "never", f"bundle {self._bundle}", 0)

"""What a member can say about a flow."""

from __future__ import annotations

from typing import Final

CLASSES: Final = ("benign", "dos", "scan", "bruteforce", "c2", "exfil", "web", "malware")
"""Names of the scores of an eight-class member, in their order."""

THREATS: Final = CLASSES[1:]

BINARY_CLASSES: Final = ("benign", "malicious")
"""Names of the scores of a member that tells malicious from benign and nothing more."""

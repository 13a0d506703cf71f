"""The rules for Suricata: ids that collide with none, and files that say the same."""

from __future__ import annotations

import re

from suricata_process import RULES

from zeekml.alerts.eve_alert import _SIGNATURES
from zeekml.readers.formats.suricata_eve import OWN_SIDS


def test_rules_keep_to_their_block() -> None:
    ours = [sid for sid, _, _ in _SIGNATURES.values()]
    texts = {path.name: path.read_text() for path in RULES.glob("*.rules")}
    sids = {name: [int(sid) for sid in re.findall(r"sid:(\d+);", t)] for name, t in texts.items()}
    assert set(texts) == {"zeekml.rules", "zeekml-files.rules", "zeekml-iprep.rules"}
    assert sids["zeekml.rules"] == [1990101, 1990102, 1990103, 1990104]
    every = [*ours, *sids["zeekml.rules"], *sids["zeekml-iprep.rules"]]
    assert len(set(every)) == len(every)
    assert all(sid in OWN_SIDS for sid in every)


def test_rules_with_files_are_the_others_with_files() -> None:
    def rules_of(name: str) -> list[str]:
        lines = (RULES / name).read_text().splitlines()
        return [line for line in lines if line.startswith("alert")]

    files = rules_of("zeekml-files.rules")
    without = [re.sub(r", load (zeekml-\w+)\.lst", "", rule) for rule in files]
    assert without == rules_of("zeekml.rules")
    assert without != files

"""The first record must not wait for what is compiled, and nothing of the rehearsal may be seen."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from zeekml.config import Config
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.live import warm_up as module
from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import Lines
from zeekml.live.warm_up import warm_up
from zeekml.readers.files.file_type import Kind
from zeekml.readers.rejects import SourceAccount

SENSORS = ["zeek", "suricata"]
KINDS = {"zeek": [Kind.ZEEK_TSV, Kind.ZEEK_JSON], "suricata": [Kind.EVE]}


@pytest.mark.parametrize("hold", [0.0, 1.0])
@pytest.mark.parametrize("sensor", SENSORS)
def test_it_goes_through_to_a_notice(
    sensor: str, hold: float, bundle: Bundle, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[Kind | None] = []
    accounts: list[SourceAccount] = []

    class Watched(TailDecoder):
        def lines(self, event: Lines) -> object:  # type: ignore[override]
            yield from super().lines(event)
            kinds.append(self.kind)
            accounts.append(self._account)

    monkeypatch.setattr(module, "TailDecoder", Watched)
    assert warm_up(sensor, bundle, policy, Config(), hold=hold) >= 1
    assert kinds == KINDS[sensor]
    counters = accounts[-1].counters
    assert counters.accepted == counters.records_read == 600 * len(kinds)
    assert not counters.rejected


@pytest.mark.parametrize("sensor", SENSORS)
def test_it_leaves_nothing_behind(
    sensor: str,
    bundle: Bundle,
    policy: Policy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    warm_up(sensor, bundle, policy, Config(), hold=1.0)
    caplog.set_level(logging.DEBUG, "zeekml")
    files, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    numbers = [warm_up(sensor, bundle, policy, Config(), hold=1.0) for _ in range(2)]
    assert numbers[0] == numbers[1], "the second does not know of the first"
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert threading.active_count() == threads
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")

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
from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import FileOpened, How, Lines
from zeekml.live.warm_up import warm_up
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.suricata_eve import AlertMemory
from zeekml.readers.rejects import ReadCounters, SourceAccount

SENSORS = ["zeek", "suricata"]
KINDS = {"zeek": [Kind.ZEEK_TSV, Kind.ZEEK_JSON], "suricata": [Kind.EVE]}


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_form_is_read_whole(sensor: str) -> None:
    for text, kind in zip(module._texts(sensor), KINDS[sensor], strict=True):
        account = SourceAccount("x", ReadCounters(), None)
        decoder = TailDecoder(
            sensor, lambda _, a=account: a, alerts=AlertMemory(), keep_originals=False
        )
        decoder.opened(FileOpened("x", How.STARTED))
        flows = list(decoder.lines(Lines("x", Block(text, 1), Checkpoint())))
        assert decoder.kind is kind
        assert sum(map(len, flows)) == account.counters.records_read == 600


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
    assert accounts[-1].counters.accepted == 600 * len(kinds)
    assert not accounts[-1].counters.rejected


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

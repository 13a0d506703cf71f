"""Zeek's logs of events beside a live conn.log: flows get from them what they get in archives."""

from __future__ import annotations

import gzip
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from watch_process import WatchProcess, until, zeekml

from zeekml.outputs import ENRICHED, SUMMARY

DATA = Path(__file__).parents[1] / "readers" / "data" / "office_events"
LOGS = ("dns.log", "http.log", "ssl.log", "conn.log")


class Zeek:
    """Writes logs as Zeek does, each by its times, and archives them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._header: dict[str, bytes] = {}
        self._records: dict[str, list[tuple[float, bytes]]] = {}
        for name in LOGS:
            lines = gzip.decompress((DATA / f"{name}.gz").read_bytes()).splitlines(keepends=True)
            self._header[name] = b"".join(line for line in lines if line.startswith(b"#"))
            times = list(
                map(float, (li.split(b"\t")[0] for li in lines if not li.startswith(b"#")))
            )
            records = [line for line in lines if not line.startswith(b"#")]
            if name == "conn.log":
                # logged when they end
                spans = [line.split(b"\t")[8].replace(b"-", b"0") for line in records]
                times = [
                    time + float(span or b"0") for time, span in zip(times, spans, strict=True)
                ]
            self._records[name] = sorted(zip(times, records, strict=True), key=lambda each: each[0])
        self.begin, self.end = (
            edge(time for of in self._records.values() for time, _ in of) for edge in (min, max)
        )

    def write(self, until: float, *names: str) -> None:
        """Write what has been logged by then, of some logs or of all, those of events first."""
        for name in names or LOGS:
            due = [line for time, line in self._records[name] if time <= until]
            self._records[name] = [each for each in self._records[name] if each[0] > until]
            path = self.directory / name
            with path.open("ab") as file:
                file.write((b"" if path.stat().st_size else self._header[name]) + b"".join(due))

    def rotate(self, stamp: str, *names: str) -> None:
        for name in names:
            stem = name.removesuffix(".log")
            (self.directory / name).rename(self.directory / f"{stem}.{stamp}.log")

    @property
    def flows(self) -> int:
        """How many there are in all."""
        lines = gzip.decompress((DATA / "conn.log.gz").read_bytes()).splitlines()
        return sum(not line.startswith(b"#") for line in lines)


@pytest.fixture
def zeek(tmp_path: Path) -> Zeek:
    return Zeek(tmp_path / "zeek")


@pytest.fixture
def watch(tmp_path: Path, zeek: Zeek) -> Iterator[WatchProcess]:
    process = WatchProcess(
        tmp_path / "out", tmp_path / "state", "--zeek", zeek.directory / "conn.log"
    )
    yield process
    process.close()


def wait_for(watch: WatchProcess, flows: int) -> None:
    until(lambda: watch.committed >= flows or not watch.runs, f"{flows} flows in {watch.text}")


def scored(path: Path) -> dict[str, Any]:
    """The score of each flow by its uid."""
    lines = map(json.loads, (path / ENRICHED).read_text().splitlines())
    return {line["uid"]: line["zeekml_score"] for line in lines}


def archived(zeek: Zeek, out: Path, *names: str) -> dict[str, Any]:
    """The scores of the logs as they lie there now, or of some of them alone."""
    given = [zeek.directory / name for name in names] or [zeek.directory]
    done = zeekml("score", *given, "--out", out, "--enriched")
    assert done.returncode == 0, done.stderr
    return scored(out)


def test_as_in_an_archive_through_kill_and_rotation(
    tmp_path: Path, zeek: Zeek, watch: WatchProcess
) -> None:
    step = (zeek.end - zeek.begin) / 5
    zeek.write(zeek.begin + step)
    watch.start()
    done = len(zeek._records["conn.log"])
    wait_for(watch, zeek.flows - done)
    # logs of events are ahead, and rotated before conn.log is
    zeek.write(zeek.begin + 2 * step, "dns.log", "http.log", "ssl.log")
    zeek.rotate("2026-11-23-10-32-00", "ssl.log", "http.log")
    watch.end(signal.SIGKILL)
    zeek.write(zeek.begin + 2 * step)
    zeek.write(zeek.begin + 3 * step, "ssl.log", "dns.log", "http.log")
    watch.start()
    zeek.write(zeek.begin + 3 * step)
    wait_for(watch, zeek.flows - len(zeek._records["conn.log"]))
    zeek.rotate("2026-11-23-10-33-00", "conn.log", "dns.log")
    zeek.write(zeek.end + 1)
    wait_for(watch, zeek.flows)
    watch.end(signal.SIGTERM)
    found, expected = scored(tmp_path / "out"), archived(zeek, tmp_path / "archived")
    assert len(expected) == zeek.flows
    assert found == expected
    summary = json.loads((tmp_path / "archived" / SUMMARY).read_text())
    assert [counters.with_events for counters in watch.counters] == [summary["with_events"]]
    # or nothing would have been shown
    flows = [path.name for path in zeek.directory.glob("conn.*")]
    assert archived(zeek, tmp_path / "flows", *flows) != expected


def test_logs_that_are_not_there_are_not_missed(
    tmp_path: Path, zeek: Zeek, watch: WatchProcess
) -> None:
    zeek.write(zeek.end + 1, "conn.log", "http.log")
    watch.start("--until-idle", "1")
    assert watch.end() == 0
    assert len(scored(tmp_path / "out")) == zeek.flows
    assert b"Sensor_Problem" not in (tmp_path / "out" / "notice.log").read_bytes()

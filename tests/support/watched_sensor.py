"""A sensor whose log a whole watcher follows, and what must have come of it in the outputs."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from sensor import Arrival, Sensor
from traffic import Traffic, number_in

from zeekml.alerts.zeek_notice import encode_json
from zeekml.config import Config
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.errors import OutputError
from zeekml.live import service
from zeekml.live.service import CHECK_EVERY, Watcher, WatchJob
from zeekml.live.startup import Startup
from zeekml.live.state import context_files as snapshots
from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.events import Event, Lines
from zeekml.live.tail.inputs import StreamLogs
from zeekml.live.tail.log_tail import LogTail
from zeekml.outputs import ENRICHED, EVE_JSON, NOTICE_LOG, OutputOptions
from zeekml.pipeline import Pipeline
from zeekml.readers.files.line_splitter import Block

STREAM: Final = "live"
RULES: Final = Path(__file__).parents[2] / "rules" / "policy.yaml"
_MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_NOON: Final = 1_800_000_000.0


class CrashError(Exception):
    """Where it is raised, the watcher does nothing any more."""


@dataclass(frozen=True)
class Cut:
    """Where incidents were closed: after so many lines, and the rules from there on."""

    after: int
    policy: Policy


@dataclass(frozen=True)
class Disturbance:
    """What somebody does to an output: renames or removes it."""

    output: str
    removes: bool


class WatchedSensor(Sensor):
    """A `Sensor` of real records, followed by a `Watcher`.

    Parameters
    ----------
    form : str
        As for `Traffic`.
    early : int
        How often the log is rotated before the first watcher has read anything: one before it has
        noted where the log begins, and died.
    keeps : bool
        Whether the context is written out whenever it can be.
    """

    def __init__(
        self, root: Path, form: str, *, keeps: bool, early: int = 0, **manner: Any
    ) -> None:
        self.early = early
        self.traffic = Traffic(form)
        # what is brought to disk all the time, where that costs nothing
        self.memory = Path(tempfile.mkdtemp(prefix="watch-", dir=_MEMORY))
        self.out = self.memory / "out"
        self.rules = root / "rules"
        self.rules.mkdir()
        self.variant = 0
        self._put_rules(0)
        self.removed: list[tuple[str, bytes]] = []
        self.renamed = 0
        self.fails = 0
        self.doubtful: set[int] = set()
        self.uncertain: set[int] = set()
        self.versions: dict[int, int] = {}
        self.cuts: list[Cut] = []
        self.exact = True
        self._commits = self._told = 0
        self.watcher: Watcher | None = None
        # reading the rules would take most of the time
        self._rules_read = patch.object(service, "load_policy", _policy_in)
        self._rules_read.start()
        rows = 1 if keeps else 1 << 30
        self._kept = patch.multiple(snapshots, ROWS=rows, WORTH=rows)
        self._kept.start()
        self._heard: list[Event] = []
        self._reloads = False
        super().__init__(root, zeek=form == "tsv", **manner)

    # -- records instead of numbered lines -------------------------------------------------------

    def _line(self, size: int) -> bytes:
        self.versions[self.written] = self.version
        return self.traffic.line(self.written, self.version, size)

    def _reads(self, begun: bytes) -> bool:
        reads = self.traffic.is_whole(begun)
        if reads and self.half is not None and self.half[1] != b"\n":
            # its last value may have been cut
            self.uncertain.add(self.half[0])
        return reads

    def _header(self) -> bytes:
        return self.traffic.header(self.version, f"{self.date:%Y-%m-%d-%H-%M-%S}")

    def _columns(self) -> bytes:
        return self.traffic.fields(self.version)

    def _read(self, block: Block) -> None:
        for text in block.data.split(b"\n"):
            number = number_in(text)
            if number is not None and self.traffic.is_whole(text):
                self.arrivals.append(Arrival(number))
                self.delivered.add(number)

    # -- the watcher -----------------------------------------------------------------------------

    def _new_tail(self, checkpoint: Checkpoint | None) -> LogTail:
        self._abandon()
        config = Config()
        logs, state = (
            StreamLogs(STREAM, self.traffic.sensor, (self.live_path,)),
            self.memory / "state",
        )
        if self.early:
            self._begin_and_die(logs, state)
        self.watcher = Watcher(
            WatchJob(
                [logs],
                self.out,
                state,
                config,
                rules=self.rules,
                options=OutputOptions(enriched=True),
            ),
            clock=lambda: self.now,
            wall=self._wall,
            sleep=self.wait,
        )
        (stream,) = self.watcher.streams
        assert not stream.problems
        ((tail, _),) = stream.tails
        assert checkpoint is None or tail.checkpoint == checkpoint, "goes on elsewhere"
        tail.max_poll = self.max_poll
        self._listen(tail)
        if checkpoint is not None and self.policy != self._judged_by:
            self._cut()
        self.watcher.start()
        return tail

    def _begin_and_die(self, logs: StreamLogs, state: Path) -> None:
        Startup([logs], state, clock=lambda: self.now).close()
        while self.early:
            self.early -= 1
            self.write([0, 40, 0])
            self.rename_log(close=False)

    def close(self) -> None:
        self._abandon()
        super().close()
        shutil.rmtree(self.memory)
        self._rules_read.stop()
        self._kept.stop()

    def _abandon(self) -> None:
        if self.watcher is not None:
            self.watcher.__exit__(None, None, None)
            self.watcher = None

    def _wall(self) -> float:
        self._told += 1
        return _NOON + self.now + self._told / 1000

    def _listen(self, tail: LogTail) -> None:
        poll, finish = tail.poll, tail.finish

        def heard_poll() -> list[Event]:
            if self._reloads:
                # before anything that comes under the new rules
                self._reloads = False
                self._cut()
            events = poll()
            self._heard += events
            return events

        def heard_finish() -> list[Event]:
            before = len(self._heard)
            events = finish()
            self._heard[before:] = events
            return events

        tail.poll = heard_poll  # type: ignore[method-assign]
        tail.finish = heard_finish  # type: ignore[method-assign]

    @property
    def policy(self) -> Policy:
        return _policies()[self.variant]

    @property
    def _judged_by(self) -> Policy:
        return self.cuts[-1].policy if self.cuts else _policies()[0]

    def _cut(self, *, letting_go: bool = False) -> None:
        """Incidents are closed here; with `letting_go`, what is held goes on before."""
        assert self.watcher is not None
        # what is in the outputs already was judged without this
        early = self.doubtful - set(self._came)
        self.exact = (
            self.exact and not early and (letting_go or not self.watcher.streams[0].pipeline.held)
        )
        self.cuts.append(Cut(len(self._came), self.policy))

    @property
    def _came(self) -> list[int]:
        return [a.number for a in self.arrivals if a.gap is None]

    def _events(self, *, finish: bool = False) -> list[Event]:
        watcher = self.watcher
        assert watcher is not None
        self._heard = []
        if finish:
            watcher.finish()
            watcher.checkpoint()
        else:
            watcher.step()
        return self._heard

    def finish(self) -> None:
        super().finish()
        self._cut(letting_go=True)
        self.restart()

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def stop(self) -> None:
        """End the watch as SIGTERM does, and begin another."""
        assert self.watcher is not None
        self.watcher.checkpoint()
        self.restart()

    def reload(self, *, broken: bool) -> None:
        """Other rules, or some that cannot be read, and SIGHUP."""
        watcher = self.watcher
        assert watcher is not None
        watcher.reload()
        if broken:
            (self.rules / "policy.yaml").write_text("version: [")
            self.poll()
            self._put_rules(self.variant)
            return
        self._put_rules(1 - self.variant)
        self._reloads = True
        self.poll()

    def crash_at(
        self, point: str, *, late: bool, finish: bool, reload: bool, meanwhile: Disturbance | None
    ) -> None:
        """Look, but come to a sudden end on the way to the commit."""
        watcher = self.watcher
        assert watcher is not None
        self._look()
        checkpoint = self.tail.checkpoint
        heard: list[Event] = []
        self._commits = 0
        self._arm(point, late and (finish or reload))
        try:
            if reload:
                self._put_rules(1 - self.variant)
                watcher.reload()
            heard = self._events(finish=finish)
        except CrashError:
            heard = self._heard
        if self._commits or not heard:
            self._take_last(heard)
            if self._commits:
                # without a commit it may have moved all the same: a file can be left in silence
                checkpoint = self.tail.checkpoint
            if finish and self._commits:
                self._cut(letting_go=True)
        else:
            for event in heard:
                if isinstance(event, Lines) and isinstance(event.lines, Block):
                    self.doubtful |= {
                        n for t in event.lines.data.split(b"\n") if (n := number_in(t)) is not None
                    }
        self._abandon()
        self.disturb(meanwhile)
        self._go_on_from(checkpoint)

    def _arm(self, point: str, late: bool) -> None:
        """Have the next way to a commit, or the one after it, end at a point."""
        watcher = self.watcher
        assert watcher is not None
        outputs, state = watcher.receivers.outputs, watcher.state
        flush, commit, write = outputs.flush, state.commit, os.write

        def write_or_crash(descriptor: int, data: memoryview) -> int:
            if Path(f"/proc/self/fd/{descriptor}").readlink() != self.out / point:
                return write(descriptor, data)
            # the power goes: some of what was to be written is there
            write(descriptor, data[: 2 * len(data) // 3])
            raise CrashError

        def flush_or_crash() -> None:
            if self._commits < late or point in ("flushed", "committed"):
                flush()
                return
            if point != "before":
                with patch.object(os, "write", write_or_crash):
                    flush()
            raise CrashError

        def commit_or_crash(*arguments: Any) -> None:
            if self._commits >= late and point == "flushed":
                raise CrashError
            commit(*arguments)
            self._commits += 1
            if self._commits > late:
                raise CrashError

        outputs.flush = flush_or_crash  # type: ignore[method-assign]
        state.commit = commit_or_crash  # type: ignore[method-assign, assignment]

    def fail_to_write(self, *, commit: bool, times: int) -> None:
        """Have the next outputs or commits fail, as on a disk that is full for a while."""
        assert self.watcher is not None
        target = self.watcher.state if commit else self.watcher.receivers.outputs
        name = "commit" if commit else "flush"
        real: Callable[..., None] = getattr(target, name)
        left = times

        def fail(*arguments: Any) -> None:
            nonlocal left
            if left > 0:
                left -= 1
                raise OutputError("no space left")
            real(*arguments)

        setattr(target, name, fail)

    # -- who else has to do with the outputs -----------------------------------------------------

    def disturb(self, what: Disturbance | None) -> None:
        """Rename an output, or remove it."""
        path = self.out / what.output if what is not None else None
        if what is None or path is None or not path.exists():
            return
        if what.removes:
            self.removed.append((what.output, path.read_bytes()))
            path.unlink()
        else:
            self.renamed += 1
            path.rename(path.with_name(f"{path.name}.{self.renamed}"))

    def cut_output(self, name: str, keep: float) -> None:
        """End the watch, cut an output, and begin another."""
        assert self.watcher is not None
        self.watcher.checkpoint()
        checkpoint = self.tail.checkpoint
        self._abandon()
        path = self.out / name
        if path.exists():
            os.truncate(path, int(path.stat().st_size * keep))
        self._go_on_from(checkpoint)

    def take_state(self, name: str | None) -> None:
        """Remove a file of the state, or all of it, until the watcher looks for it."""
        assert self.watcher is not None
        state = self.memory / "state"
        if name is None:
            shutil.rmtree(state)
        else:
            (state / name).unlink()
        self.wait(CHECK_EVERY)
        self.poll()

    def _put_rules(self, variant: int) -> None:
        self.variant = variant
        (self.rules / "policy.yaml").write_text(_rules()[variant])

    # -- what must have come of it ---------------------------------------------------------------

    def check(self) -> None:
        super().check()
        watcher = self.watcher
        assert watcher is not None
        record = watcher.streams[0].record
        assert record.gaps.total() == sum(a.gap is not None for a in self.arrivals)
        self._check_records()
        self._check_unique()

    def _lines(self, name: str) -> tuple[list[bytes], list[bytes]]:
        """The lines of an output that are there, and of what was removed of it."""
        there: list[bytes] = []
        for path in sorted(self.out.glob(f"{name}*")):
            data = path.read_bytes()
            # what was renamed may end in the middle of a line, when that was where the power went
            assert path.name != name or not data or data.endswith(b"\n")
            there += _whole_lines(data)
        gone = [line for n, data in self.removed if n == name for line in _whole_lines(data)]
        return there, gone

    def _check_records(self) -> None:
        there, gone = self._lines(ENRICHED)
        scored = Counter(number_in(line) for line in there)
        assert not [n for n, times in scored.items() if times > 1], "scored twice"
        either = {*scored, *map(number_in, gone)}
        # held back until the end of the log is sure
        held = self.watcher.streams[0].pipeline.held if self.watcher is not None else 0
        must = set(self._came) - self.may_come - self._odd
        assert len(must - either) <= held, f"came but was not scored: {sorted(must - either)}"
        assert either <= self.delivered | self.may_come | self.doubtful
        for line in there:
            number = number_in(line)
            if number in must:
                assert self._is_right(number, json.loads(line)), "in another column"

    @property
    def _odd(self) -> set[int]:
        """Records whose header is gone."""
        return {n for n, version in self.versions.items() if version in self.lost_versions}

    def _all_understood(self) -> bool:
        """Whether no record came to be read with the header of another."""
        there, gone = self._lines(ENRICHED)
        scored = {number_in(line): json.loads(line) for line in (*gone, *there)}
        return all(self._is_right(n, scored.get(n, {})) for n in self._odd & set(self._came))

    def _is_right(self, number: int, scored: dict[str, Any]) -> bool:
        """Whether a scored record has its values in their columns."""
        record = self.traffic.record(number)
        names = ("id.orig_h", "src_ip", "id.resp_h", "dest_ip")
        return all(scored.get(name) == record.get(name) for name in names)

    def _check_unique(self) -> None:
        for name in (NOTICE_LOG, EVE_JSON):
            there, _ = self._lines(name)
            keys = Counter(filter(None, map(_key, there)))
            assert not [key for key, times in keys.items() if times > 1], "told twice"

    def check_notices(self) -> int:
        """After the end: the notices are those of one run over the lines that came.

        Returns
        -------
        int
            How many there were to compare; −1 if they need not be the same.
        """
        came = self._came
        known = self.doubtful <= set(came) and not self.uncertain & set(came)
        if not (self.exact and known and self._all_understood()) or self.traffic.has_leaps(came):
            return -1
        there, gone = self._lines(NOTICE_LOG)
        got = {key: line for line in (*gone, *there) if (key := _detection(line)) is not None}
        expected = {_detection(line): line for line in self._in_one_run(came)}
        assert sorted(got.values()) == sorted(expected.values())
        return len(got)

    def _in_one_run(self, came: list[int]) -> list[bytes]:
        bundle = _bundle()
        pipeline_of = partial(Pipeline, bundle, sensor=self.traffic.sensor, stream=STREAM)
        pipeline = pipeline_of(_policies()[0])
        notices = []
        cuts = list(self.cuts)
        begin = 0
        policy = _policies()[0]
        for cut in [*cuts, Cut(len(came), policy)]:
            for flows in self.traffic.flows(came[begin : cut.after]):
                notices += pipeline.feed(flows)[1]
            notices += pipeline.close()
            if cut.policy != policy:
                changed = pipeline_of(cut.policy, detects_only=True)
                pipeline.incidents = changed.incidents
            begin, policy = cut.after, cut.policy
        return [encode_json(notice).rstrip(b"\n") for notice in notices]


def _whole_lines(data: bytes) -> list[bytes]:
    return data[: data.rfind(b"\n") + 1].splitlines()


def _key(line: bytes) -> str | None:
    event = json.loads(line)
    if "zeekml_id" in event:
        return f"{event['zeekml_id']}/{event['zeekml_seq']}"
    alert = event.get("alert")
    return alert["metadata"]["zeekml_id"][0] if alert else None


def _detection(line: bytes) -> str | None:
    return None if b"ZeekML::Sensor_" in line else _key(line)


@cache
def _bundle() -> Bundle:
    return load_bundle()


@cache
def _rules() -> tuple[str, str]:
    """The rules, and others."""
    text = RULES.read_text()
    other = re.sub(r"minimum_flows: 5\b", "minimum_flows: 7", text)
    assert other != text
    return text, other


@cache
def _policies() -> tuple[Policy, Policy]:
    first, second = map(_policy_of, _rules())
    return first, second


def _policy_in(directory: Path | None = None) -> Policy:
    """As `load_policy`, but the same rules are read once."""
    assert directory is not None
    return _policy_of((directory / "policy.yaml").read_text())


@cache
def _policy_of(text: str) -> Policy:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "policy.yaml").write_text(text)
        return load_policy(Path(directory))

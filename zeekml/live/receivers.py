"""Whoever gets the notices of a watch: its outputs, the feed for sensors, and the sinks.

    notices → queue of the sinks → outputs, feed → commit → sinks send

What is to be sent is on disk before the outputs are, and goes out once it is committed: whatever
stands in notice.log is sent, wherever the watch is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from zeekml.alerts.eve_alert import encode_alert
from zeekml.alerts.evidence_line import encode_evidence
from zeekml.alerts.health_notice import HealthNotice
from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.allowlist import Allowlist
from zeekml.detection.notice import Notice
from zeekml.live.outputs.live_outputs import LiveOutputs, Shortened
from zeekml.live.sensor_feeds import SensorFeeds
from zeekml.live.state.database import IncidentLine, Mark, State
from zeekml.outputs import EVE_JSON, NOTICE_LOG
from zeekml.sinks.push import Push

if TYPE_CHECKING:
    from zeekml.live.service import WatchJob


class Receivers:
    """All of them, opened and closed together.

    Parameters
    ----------
    job
        Says who gets what.
    state
        What is committed, and what it knows of earlier notices.
    allowlist
        Whose hosts are in no feed.
    opening
        What a new file begins with, by its name.
    clock, wall
        Seconds that never go backwards, and the time of day.

    Attributes
    ----------
    incidents
        Lines of incidents that are to be committed with the next flush.
    """

    def __init__(
        self,
        job: WatchJob,
        state: State,
        allowlist: Allowlist,
        opening: Callable[[str], list[bytes]],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.incidents: list[IncidentLine] = []
        self._said: list[bytes] = []  # about the watch itself, since the queue of sinks took it
        kept = {NOTICE_LOG: state.notice_lines, EVE_JSON: state.alert_lines}
        with ExitStack() as stack:
            self.push = Push(job.config.sinks, job.state, wall)
            stack.callback(self.push.close)
            self.outputs = LiveOutputs(job.out, job.options, state.marks(), opening, wall, kept)
            stack.callback(self.outputs.close)
            asked = state, job.config, allowlist, job.false_alarms
            self.feeds = SensorFeeds(job.feed, job.suricata_socket, *asked, clock, wall)
            stack.callback(self.feeds.close)
            self._stack = stack.pop_all()

    @property
    def shortened(self) -> list[Shortened]:
        """The files that lacked something at the start."""
        return [*self.outputs.shortened, *self.feeds.shortened]

    def add(self, stream: str, notices: Sequence[Notice]) -> None:
        """Add notices of a stream."""
        self.outputs.add_notices(notices)
        self.feeds.add(notices)
        for n in notices:
            about = (n.id, stream, n.note, n.state, n.severity, n.seq)
            evidence = None if n.evidence is None else encode_evidence(n.evidence)
            alert = encode_alert(n) if n.seq == 0 else None
            lines = (encode_json(n), n.flow.uid, evidence, alert)
            self.incidents.append(IncidentLine(*about, n.first_ts, n.last_ts, *lines))

    def add_health(self, notices: Sequence[HealthNotice]) -> None:
        """Add notices about the health of sensor and watch."""
        self.outputs.add_health(notices)
        self.feeds.add(notices)
        self._said += map(encode_json, notices)

    def flush(self) -> dict[str, Mark]:
        """Bring all to disk; gives what is to be committed of it."""
        self.push.add([*(incident.line for incident in self.incidents), *self._said])
        self.outputs.flush()
        marks = {**self.outputs.marks, **self.feeds.flush()}
        # the queue has them; incidents are committed with the state, too
        self._said.clear()
        return marks

    def committed(self) -> None:
        """What was flushed has been committed, and the incidents with it."""
        self.outputs.committed()
        self.feeds.committed(self.incidents)
        self.push.release()
        self.incidents.clear()

    def close(self) -> None:
        """Close all files, and give sensors and sinks a moment for what they were told last."""
        self._stack.close()

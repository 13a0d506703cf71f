"""What a watch gives back to sensors: the host list, the files of a feed, Suricata's datasets.

Notices are written before a commit, as all outputs are. Who is on the list follows what is
committed, so that after a crash it is the same again, from the incidents that the state knows.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from zeekml.alerts.health_notice import HealthNotice
from zeekml.config import Config
from zeekml.detection.allowlist import Allowlist
from zeekml.detection.notice import Notice
from zeekml.errors import OutputError
from zeekml.feeds.host_files import DATASETS
from zeekml.feeds.hosts import HostList, ListedHost
from zeekml.feeds.suricata_feed import SuricataFeed, SuricataStatus
from zeekml.live.outputs.feed_outputs import FeedOutputs
from zeekml.live.outputs.live_outputs import Shortened
from zeekml.live.state.database import IncidentLine, Mark, State

log = logging.getLogger("zeekml.watch")


class SensorFeeds:
    """The host list of a watch, and whoever is told of it; nothing of that where nobody is.

    `directory` is that of the files, `socket` that of a running Suricata. `false_alarms` gives the
    ids of incidents that name nobody; it may raise an `OutputError`. `clock` gives seconds that
    never go backwards, `wall` the time of day.
    """

    def __init__(
        self,
        directory: Path | None,
        socket: Path | None,
        state: State,
        config: Config,
        allowlist: Allowlist,
        false_alarms: Callable[[], Collection[str]],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.hosts = HostList.of(config, allowlist)
        self._false_alarms, self._complaint = false_alarms, ""
        self._files: FeedOutputs | None = None
        self._keeps_hosts = directory is not None or socket is not None
        if self._keeps_hosts:
            for line in state.incident_lines():
                self.hosts.add(json.loads(line))
        self._wall = wall
        self._dropped = 0
        self._listed: tuple[ListedHost, ...] | None = None
        self._suricata = None if socket is None else SuricataFeed(socket, state.directory)
        if directory is not None:
            self._files = FeedOutputs(directory, state, self.hosts, clock, wall)

    @property
    def shortened(self) -> Sequence[Shortened]:
        """The files that lacked something at the start."""
        return self._files.shortened if self._files is not None else ()

    def add(self, notices: Iterable[Notice | HealthNotice]) -> None:
        """Add notices, but for those that are there already."""
        if self._files is not None:
            self._files.add(notices)

    def flush(self) -> Mapping[str, Mark]:
        """Bring the notices to disk; gives what is to be committed of them."""
        if self._files is None:
            return {}
        self._files.flush()
        return self._files.marks

    def committed(self, incidents: Iterable[IncidentLine]) -> None:
        """What was flushed has been committed, and these lines with it."""
        if self._files is not None:
            self._files.committed()
        if self._keeps_hosts:
            for incident in incidents:
                self.hosts.add(json.loads(incident.line))

    def publish(self, *, now: bool = False) -> None:
        """Bring up to date what follows the list, if that is due."""
        if not self._keeps_hosts:
            return
        try:
            self.hosts.dismiss(self._false_alarms())
            self._complaint = ""
        except OutputError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("%s; the labels read before stay in force", error)
        if self._files is not None:
            self._files.publish(now=now)
        if self.hosts.dropped > self._dropped:
            gone = f"{self.hosts.dropped - self._dropped:,}"
            self._dropped = self.hosts.dropped
            told = "more hosts than are listed; %s incidents were left out, the least severe"
            log.warning(told, gone)
        if self._suricata is not None:
            listed = self.hosts.hosts(self._wall())
            if listed is not self._listed:
                self._listed = listed
                self._suricata.want(_datasets(listed))

    @property
    def suricata(self) -> SuricataStatus | None:
        """How things are with Suricata; None where it is told nothing."""
        return None if self._suricata is None else self._suricata.status

    def close(self) -> None:
        """Close all files, and give Suricata some seconds to take what it was told last."""
        if self._suricata is not None:
            self._suricata.close()
        if self._files is not None:
            self._files.close()


def _datasets(listed: Sequence[ListedHost]) -> dict[str, frozenset[str]]:
    """The addresses of each of Suricata's datasets."""
    roles = DATASETS.items()
    return {n: frozenset(h.address for h in listed if h.role == role) for role, n in roles}

"""The feed of a watch: notices appended for Zeek, each once, and whole files of what they name.

Notices are appended as those of notice.log are, and committed with them. The other files follow
what is committed: a watch that died has the same ones again from its state. They are replaced once
a second at most, so that no reader takes one for another by its inode and its second.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from zeekml.alerts.formats import Values
from zeekml.alerts.health_notice import HealthNotice
from zeekml.alerts.zeek_notice import encode_json
from zeekml.core.atomic_write import as_output_error, sync_directory
from zeekml.detection.notice import Notice
from zeekml.errors import OutputError
from zeekml.feeds.feed_directory import (
    NOTICE_TABLE,
    NOTICES,
    NOTICES_BEFORE,
    TABLE_LINES,
    WholeFiles,
    lock_feed,
)
from zeekml.feeds.host_files import host_files
from zeekml.feeds.hosts import HostList, ListedHost
from zeekml.feeds.zeek_lines import feed_key, feed_line, feed_table
from zeekml.live.outputs.append_file import AppendFile
from zeekml.live.outputs.live_outputs import Shortened
from zeekml.live.state.database import Mark, State

log = logging.getLogger("zeekml.watch")

ROTATE_AT: Final = 8 << 20
"""Bytes from which on the notices are moved away, once nothing was added for `QUIET` seconds.

A reader that looks every second has read all of the file by then, and goes on with the new one."""

QUIET: Final = 10.0
ROTATE_ANYWAY: Final = 64 << 20
"""Bytes from which on they are moved away at once."""

_PUBLISH_EVERY: Final = 1.0


class FeedOutputs:
    """All files of a feed, in a directory that is made if need be and locked for this watch.

    `hosts` is kept up to date by the caller. `clock` gives seconds that never go backwards, `wall`
    the time of day. What the notices lacked at the start is in `shortened`.
    """

    def __init__(
        self,
        directory: Path,
        state: State,
        hosts: HostList,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.directory = directory
        self._hosts, self._clock, self._wall = hosts, clock, wall
        self._files = WholeFiles(directory)
        self._new: list[tuple[str, Values]] = []  # that are not committed yet
        self._table = {key: json.loads(line) for key, line in state.latest_lines(TABLE_LINES)}
        self._contents: dict[str, bytes] = {}
        self._listed: tuple[ListedHost, ...] | None = None
        self._table_changed = True
        self._published = -_PUBLISH_EVERY
        self._added = clock()  # when a notice was added last
        self._complaint = ""
        self._lock = lock_feed(directory)
        try:
            mark = state.marks().get(NOTICES)
            self._notices = AppendFile(
                directory / NOTICES, mark, feed_key, kept=lambda: _kept(state.notice_lines())
            )
        except BaseException:
            self._lock.close()
            raise
        self.shortened: list[Shortened] = []
        cut = self._notices.cut
        if mark is not None and (cut.lines or cut.size):
            size = max(mark.offset - self._notices.mark.offset, 0)
            self.shortened.append(Shortened(NOTICES, len(cut.lines), size))

    @property
    def marks(self) -> Mapping[str, Mark]:
        """How far the notices are written; to be committed after `flush`."""
        return {NOTICES: self._notices.mark}

    def add(self, notices: Iterable[Notice | HealthNotice]) -> None:
        """Add notices, but for those that are there already."""
        for notice in notices:
            values, key = json.loads(encode_json(notice)), f"{notice.id}/{notice.seq}"
            self._new.append((key, values))
            # of these alone the state keeps the lines
            kept = isinstance(notice, Notice)
            if self._notices.add(key, feed_line(values), kept=kept):
                self._added = self._clock()

    def flush(self) -> None:
        """Bring the notices to disk; after an `OutputError` it can be tried again."""
        if not self._lock.in_place:
            with as_output_error(self.directory):
                self.directory.mkdir(parents=True, exist_ok=True)
                self._lock.take_again()
        self._notices.flush()

    def committed(self) -> None:
        """What was flushed has been committed."""
        self._notices.committed()
        for key, values in self._new:
            self._table.pop(key, None)
            self._table[key] = values
            self._table_changed = True
        self._new.clear()
        while len(self._table) > TABLE_LINES:
            del self._table[next(iter(self._table))]

    def publish(self, *, now: bool = False) -> None:
        """Bring the other files up to date, if that is due; what fails is told and tried again."""
        clock = self._clock()
        if clock < self._published + _PUBLISH_EVERY and not now:
            return
        self._published = clock
        try:
            self._publish()
            self._rotate(clock)
        except OutputError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.error("%s; tried again until it can be written", error)
        else:
            if self._complaint:
                log.warning("%s: written again", self.directory)
            self._complaint = ""

    def close(self) -> None:
        """Close the notices, and give the directory back."""
        self._notices.close()
        self._lock.close()

    def _publish(self) -> None:
        if self._table_changed:
            self._contents[NOTICE_TABLE] = feed_table(self._table.values())
            self._table_changed = False
        listed = self._hosts.hosts(self._wall())
        if listed is not self._listed:
            self._listed = listed
            self._contents |= host_files(listed)
        for name, content in self._contents.items():
            self._files.put(name, content)

    def _rotate(self, clock: float) -> None:
        """Begin a new file of notices, at a moment when everybody has read the old one."""
        size = self._notices.mark.offset
        quiet = clock - self._added >= QUIET
        if self._new or size < (ROTATE_AT if quiet else ROTATE_ANYWAY):
            return
        with as_output_error(self.directory):
            (self.directory / NOTICES).replace(self.directory / NOTICES_BEFORE)
            sync_directory(self.directory)
        self._notices.flush()
        log.info("%s: begun anew; what was there is now %s", self._notices.path, NOTICES_BEFORE)


def _kept(lines: Mapping[str, bytes]) -> dict[str, bytes]:
    """Lines of notice.log as they stand in the feed."""
    return {key: feed_line(json.loads(line)) for key, line in lines.items()}

"""The feed of scored archives: what their notices said, as of the end of their records."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.feeds.feed_directory import (
    NOTICE_TABLE,
    NOTICES,
    NOTICES_BEFORE,
    TABLE_LINES,
    WholeFiles,
)
from zeekml.feeds.host_files import host_files
from zeekml.feeds.hosts import HostList
from zeekml.feeds.zeek_lines import feed_line, feed_table
from zeekml.outputs import EVIDENCE, FILE_MODE


def write_feed(feed: Path, out: Path, hosts: HostList, last_ts: float | None) -> None:
    """Replace the files of a feed by what a run found that has just written to `out`.

    `hosts` is filled, and listed as of the last record, or the last notice if that is later.
    """
    last: deque[dict[str, object]] = deque(maxlen=TABLE_LINES)
    now = last_ts or 0.0
    with (
        as_output_error(feed),
        # notices in JSON, in whichever form notice.log is
        (out / EVIDENCE).open("rb") as evidence,
        replacing(feed / NOTICES, FILE_MODE) as notices,
    ):
        for line in evidence:
            values = json.loads(line)["notice"]
            notices.write(feed_line(values))
            hosts.add(values)
            last.append(values)
            now = max(now, values["ts"])
    files = WholeFiles(feed)
    files.put(NOTICE_TABLE, feed_table(last))
    for name, content in host_files(hosts.hosts(now)).items():
        files.put(name, content)
    with as_output_error(feed):
        # of a watch that wrote here before
        (feed / NOTICES_BEFORE).unlink(missing_ok=True)

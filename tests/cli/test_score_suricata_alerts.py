"""Our own packets through a real Suricata with rules of ours: what notices say of its alerts."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CAPTURE = Path(__file__).parent.parent / "readers" / "data" / "office_flood.pcap.gz"
FLOOD = "10.20.0.10"  # port 80 of this host is flooded in the capture

# a message may hold whatever a rule's author likes
MESSAGE = r"LOCAL SYN flood, [red]a\"b[/] \; <b>x</b>"
ON_THE_FLOOD = (
    f'alert tcp any any -> any 80 (msg:"{MESSAGE}"; flags:S,12; '
    "threshold:type threshold, track by_src, count 20, seconds 10; sid:1000002; rev:1;)\n"
)
ON_OTHERS = 'alert udp any any -> any any (msg:"LOCAL datagram"; sid:1000005; rev:1;)\n'

pytestmark = [
    pytest.mark.apt,
    pytest.mark.skipif(
        shutil.which("suricata") is None,
        reason="Suricata is not installed; .ci/install-packages installs it on Debian",
    ),
]


def run_suricata(directory: Path, rules: str) -> Path:
    capture, own = directory / "capture.pcap", directory / "own.rules"
    capture.write_bytes(gzip.decompress(CAPTURE.read_bytes()))
    own.write_text(rules)
    subprocess.run(
        ["suricata", "-r", capture, "-l", directory, "-S", own, "-k", "none"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return directory / "eve.json"


def flood_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "notice.log").read_text().splitlines()]
    return [n for n in lines if n.get("dst") == FLOOD]


def alerts_on(eve: Path, host: str) -> set[str]:
    """What Suricata said of the flows towards a host, read without any code of ours."""
    events = [json.loads(line) for line in eve.read_text().splitlines()]
    to_host = {e["flow_id"] for e in events if e["event_type"] == "flow" and e["dest_ip"] == host}
    return {
        f"{e['alert']['signature']} [sid {e['alert']['signature_id']}]"
        for e in events
        if e["event_type"] == "alert" and e["flow_id"] in to_host
    }


def test_a_notice_names_the_signatures_on_its_flows(zeekml: Any, tmp_path: Path) -> None:
    eve = run_suricata(tmp_path, ON_THE_FLOOD + ON_OTHERS)
    said = alerts_on(eve, FLOOD)
    assert said
    done = zeekml("score", eve, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    *_, closed = flood_of(tmp_path / "out")
    assert set(closed["zeekml_signatures"]) == said
    assert closed["sub"].endswith("; 1 Suricata signature saw it")


def test_a_notice_that_no_signature_saw_says_so(zeekml: Any, tmp_path: Path) -> None:
    eve = run_suricata(tmp_path, ON_OTHERS)
    assert '"event_type":"alert"' in eve.read_text()
    assert not alerts_on(eve, FLOOD)
    done = zeekml("score", eve, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for line in flood_of(tmp_path / "out"):
        assert line["zeekml_signatures"] == []
        assert line["sub"].endswith("; no Suricata alert on its flows in this log")
    alerts = [json.loads(text) for text in (tmp_path / "out" / "eve.json").read_text().splitlines()]
    told = [e["alert"]["metadata"] for e in alerts if e["dest_ip"] == FLOOD]
    assert told
    for metadata in told:
        assert metadata["zeekml_sub"][0].endswith("no Suricata alert on its flows in this log")
        assert "zeekml_signatures" not in metadata

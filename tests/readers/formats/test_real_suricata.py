"""Our own packets through a real Suricata, read back and held against Zeek's view of them."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover

DATA = Path(__file__).parents[1] / "data"
pytestmark = [
    pytest.mark.apt,
    pytest.mark.skipif(
        shutil.which("suricata") is None,
        reason="Suricata is not installed; .ci/install-packages installs it on Debian",
    ),
]


@pytest.fixture(scope="module")
def eve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("suricata")
    capture = directory / "capture.pcap"
    capture.write_bytes(gzip.decompress((DATA / "office_flood.pcap.gz").read_bytes()))
    subprocess.run(
        [
            "suricata",
            *("-r", capture, "-l", directory, "-S", "/dev/null", "-k", "none"),
            *("--set", "outputs.1.eve-log.community-id=true"),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return directory / "eve.json"


def test_the_two_sensors_agree_on_the_same_packets(eve: Path) -> None:
    suricata = flows_of(discover([eve])).to_pylist()
    zeek = flows_of(discover([DATA / "office_flood_conn.json.gz"])).to_pylist()
    seen = Counter(r["community_id"] for r in [*suricata, *zeek])
    by_id = {r["community_id"]: r for r in suricata}
    pairs = [
        (r, by_id[r["community_id"]])
        for r in zeek
        if r["community_id"] in by_id and seen[r["community_id"]] == 2
    ]
    # a flow of the flood may lie partly outside the cut, so Zeek saw more of it
    assert len(pairs) > 200
    same: Counter[str] = Counter()
    for ours, theirs in pairs:
        for name in ("id.orig_h", "id.resp_h", "id.orig_p", "id.resp_p", "proto", "service"):
            same[name] += ours[name] == theirs[name]
        for name in ("orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes", "conn_state"):
            same[name] += ours[name] == theirs[name]
        same["ts"] += abs(ours["ts"] - theirs["ts"]) < 2e-6
    for name in ("id.orig_h", "id.resp_h", "id.orig_p", "id.resp_p", "proto", "ts"):
        assert same[name] == len(pairs), (name, same[name], len(pairs))
    for name in ("service", "orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes"):
        assert same[name] >= 0.97 * len(pairs), (name, same[name], len(pairs))
    assert same["conn_state"] >= 0.9 * len(pairs), (same["conn_state"], len(pairs))

"""A real Suricata that waits for commands, and captures made of a few packets for it."""

from __future__ import annotations

import ipaddress
import json
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest
from watch_process import until

from zeekml.feeds.suricata_socket import SuricataError, SuricataSocket

RULES: Final = Path(__file__).parents[2] / "rules" / "suricata"
NEEDS_SURICATA: Final = [
    pytest.mark.apt,
    pytest.mark.skipif(
        shutil.which("suricata") is None,
        reason="Suricata is not installed; .ci/install-packages installs it on Debian",
    ),
]

_CONFIG: Final = "/etc/suricata/suricata.yaml"
HOME: Final = "vars.address-groups.HOME_NET=[10.0.0.0/8,fd00::/8]"
_NOON: Final = 1_800_000_000


class SuricataProcess:
    """Suricata in its unix-socket mode: it replays what it is told to, under the rules given.

    `settings` are lines of YAML on top of the distribution's suricata.yaml.
    """

    def __init__(self, directory: Path, rules: Iterable[Path], settings: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.socket = directory / "command.socket"
        self.config = directory / "suricata.yaml"
        self._directory = directory
        self._replays = 0
        self._process: subprocess.Popen[bytes] | None = None
        files = "".join(f"  - {path}\n" for path in rules)
        text = f"%YAML 1.1\n---\ninclude: {_CONFIG}\nrule-files:\n{files}{settings}"
        self.config.write_text(text)

    def test(self) -> tuple[int, str]:
        """Load rules and configuration as `suricata -T` does: its exit code and what it says."""
        done = subprocess.run(
            ["suricata", "-T", "-c", self.config, "-l", self._directory, "-v"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = ["suricata", f"--unix-socket={self.socket}", "-c", str(self.config)]
        self._process = subprocess.Popen(
            [*command, "-k", "none", "-l", str(self._directory), "--set", HOME],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, "Suricata listens")

    def stop(self) -> None:
        """End it, and wait until it has."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def tell(self, command: str, **arguments: str) -> object:
        """Send a command, past the code under test as far as can be; what Suricata says to it."""
        with SuricataSocket(self.socket) as client:
            return client.command(command, **arguments).message

    def holds(self, dataset: str, address: str) -> bool:
        """Whether a dataset holds an address."""
        about = {"setname": dataset, "settype": "ip", "datavalue": address}
        return self.tell("dataset-lookup", **about) == "item found in set"

    def replay(self, *flows: tuple[str, str]) -> list[int]:
        """The signature ids of the alerts on packets from one address to another."""
        self._replays += 1
        out = self._directory / f"replay{self._replays}"
        out.mkdir()
        capture = out / "capture.pcap"
        capture.write_bytes(pcap(flows))
        self.tell("pcap-file", **{"filename": str(capture), "output-dir": str(out)})
        until(lambda: self._finished(capture), "the capture was replayed")
        events = [json.loads(line) for line in (out / "eve.json").read_text().splitlines()]
        alerts = [event["alert"] for event in events if event["event_type"] == "alert"]
        return sorted(alert["signature_id"] for alert in alerts)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "Suricata ended"
        try:
            self.tell("version")
        except SuricataError:
            return False
        return True

    def _finished(self, capture: Path) -> bool:
        with SuricataSocket(self.socket) as client:
            if client.command("pcap-file-number").message != 0:
                return False
            return client.command("pcap-current").text == "None"


def pcap(flows: Iterable[tuple[str, str]], port: int | None = None) -> bytes:
    """A capture of one UDP packet each, a second apart; from the same port, if one is given."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number, (src, dst) in enumerate(flows):
        packet = _frame(src, dst, 40_000 + number if port is None else port)
        data += struct.pack("<IIII", _NOON + number, 0, len(packet), len(packet)) + packet
    return data


def _frame(src: str, dst: str, port: int) -> bytes:
    source, target = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    datagram = struct.pack(">HHHH", port, 9999, 8 + 4, 0) + b"ping"
    size = len(datagram)
    if source.version == 4:
        fields = (0x45, 0, 20 + size, 1, 0, 64, 17, 0, source.packed, target.packed)
        kind, head = b"\x08\x00", struct.pack(">BBHHHBBH4s4s", *fields)
    else:
        fields6 = (6 << 28, size, 17, 64, source.packed, target.packed)
        kind, head = b"\x86\xdd", struct.pack(">IHBB16s16s", *fields6)
    return b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0\x02" + kind + head + datagram

"""What of Suricata's command socket the feeding of datasets uses, without Suricata.

`test_real_suricata.py` holds its answers against those of a real one.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Any, Final

NO_SET: Final = ("NOK", "set not found or wrong type")


class DatasetServer:
    """Listens at a path until it is closed.

    Attributes
    ----------
    sets
        Its datasets, as anybody may have changed them.
    capacity
        Addresses that a dataset takes.
    busy
        Addresses that cannot be removed now.
    commands
        What it was told, but for what changes nothing.
    """

    def __init__(self, path: Path, *sets: str) -> None:
        self.path = path
        self.sets: dict[str, set[str]] = {name: set() for name in sets}
        self.capacity = 1000
        self.busy: set[str] = set()
        self.commands: list[tuple[str, str, str]] = []
        self.reloads = 0
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Break all connections, as a Suricata does that ends."""
        for end in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def reload(self, **sets: set[str]) -> None:
        """Read the rules again; datasets are these from now on."""
        self.sets = {name.replace("_", "-"): addresses for name, addresses in sets.items()}
        self.reloads += 1

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                outcome, message = self.answer(json.loads(line))
                reply = {"message": message, "return": outcome}
                connection.sendall(json.dumps(reply).encode() + b"\n")

    def answer(self, message: dict[str, Any]) -> tuple[str, object]:
        """What it says to a message."""
        command, about = str(message.get("command")), message.get("arguments", {})
        if "version" in message:
            return "OK", None
        if command == "ruleset-reload-time":
            return "OK", [{"id": 0, "last_reload": str(self.reloads)}]
        if command == "version":
            return "OK", "7.0.10 RELEASE"
        name, address = about["setname"], about["datavalue"]
        if name not in self.sets or about["settype"] != "ip":
            return NO_SET
        held = self.sets[name]
        if command == "dataset-lookup":
            there = address in held
            return ("OK", "item found in set") if there else ("NOK", "item not found in set")
        self.commands.append((command, name, address))
        if command == "dataset-add":
            if address in held:
                return "OK", "data already in set"
            if len(held) >= self.capacity:
                return "NOK", "failed to add data"
            held.add(address)
            return "OK", "data added"
        assert command == "dataset-remove"
        if address not in held:
            return "NOK", "failed to remove data"
        if address in self.busy:
            return "OK", "data is busy, try again"
        held.remove(address)
        return "OK", "data removed"

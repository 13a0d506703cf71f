"""A certificate authority of the tests' own, and whom it vouches for."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """An authority whose certificates lie in a directory, with a server called localhost."""

    def __init__(self, directory: Path) -> None:
        ca = trustme.CA()
        server, client = ca.issue_cert("localhost"), ca.issue_cert("zeekml@sensor")
        self.ca_file = str(directory / "ca.pem")
        self.cert_file = str(directory / "client.pem")
        ca.cert_pem.write_to_path(self.ca_file)
        client.private_key_and_cert_chain_pem.write_to_path(self.cert_file)
        self.server_cert, self.server_key = directory / "server.pem", directory / "server.key"
        server.cert_chain_pems[0].write_to_path(str(self.server_cert))
        server.private_key_pem.write_to_path(str(self.server_key))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.configure_cert(self.server)
        # a server that wants to know its clients
        self.strict_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.configure_cert(self.strict_server)
        ca.configure_trust(self.strict_server)
        self.strict_server.verify_mode = ssl.CERT_REQUIRED

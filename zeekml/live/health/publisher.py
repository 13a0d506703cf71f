"""Where the figures for Prometheus go: a file, a server, both or neither."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from zeekml.config import Config
from zeekml.core.listen_address import parse_listen_address
from zeekml.errors import OutputError
from zeekml.live.health.prometheus import write_metrics

if TYPE_CHECKING:
    from zeekml.live.health.metrics_server import MetricsServer

log = logging.getLogger("zeekml.watch")


class Publisher:
    """Publishes rendered figures as the configuration says.

    Raises `OutputError` where the address that it names cannot be listened on.
    """

    def __init__(self, config: Config, clock: Callable[[], float]) -> None:
        self._file = None if config.metrics_file is None else Path(config.metrics_file)
        self._server: MetricsServer | None = None
        self._failed = ""
        if config.metrics_listen is not None:
            # of no use to whoever wants no server
            from zeekml.live.health.metrics_server import MetricsServer

            self._server = MetricsServer(parse_listen_address(config.metrics_listen), clock=clock)

    @property
    def wanted(self) -> bool:
        """Whether there is anywhere to publish to."""
        return self._file is not None or self._server is not None

    def publish(self, figures: bytes) -> None:
        """Have these figures in the place of those before; a file that fails is logged once."""
        if self._server is not None:
            self._server.show(figures)
        if self._file is None:
            return
        try:
            write_metrics(self._file, figures)
            self._failed = ""
        except OutputError as error:
            # figures are not worth stopping for
            if str(error) != self._failed:
                self._failed = str(error)
                log.error("%s", error)

    def close(self) -> None:
        """Give the address back."""
        if self._server is not None:
            self._server.close()

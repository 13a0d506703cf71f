"""Pick-up of a promoted bundle while a watcher runs."""

from __future__ import annotations

import logging
from pathlib import Path

from zeekml.config import Config
from zeekml.core.file_stamp import Stamp, stamp_of
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import MANIFEST_FILE, Bundle, load_bundle
from zeekml.ensemble.bundle_store import store_of
from zeekml.ensemble.signing.signature import SIGNATURE_FILE
from zeekml.errors import BundleError, ConfigError

log = logging.getLogger("zeekml.watch")


class BundleReloader:
    """Reads the bundle, and again whenever there is another one at its path.

    `path` is None for what comes with zeekml; the configuration tells the digest that it must have,
    and who must have signed it. Raises `BundleError` where the bundle cannot be used to begin with.
    """

    def __init__(self, path: Path | None, config: Config) -> None:
        self._path, self._config = path, config
        self._stamps = self._look()
        self.current: Bundle = config.load_bundle(path)

    def changed(self, policy: Policy) -> bool:
        """Look; tell whether `current` is another one now.

        One that cannot be used, under this policy either, is logged, and the one before stays.
        """
        stamps = self._look()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        if stamps[0] is None:
            return False  # between two
        try:
            read = self._config.load_bundle(self._path)
            policy.thresholds(read.manifest.thresholds)
        except (BundleError, ConfigError) as error:
            log.error("%s; the bundle read before stays in force", error)
            return False
        if read.digest == self.current.digest:
            return False
        log.info("bundle %s in place of %s", read.short_digest, self.current.short_digest)
        self.current = read
        return True

    def version(self, digest: str) -> Bundle | None:
        """The bundle whose digest begins so, if it is in force or lies in the same store."""
        if self.current.digest.startswith(digest):
            return self.current
        store = None if self._path is None else store_of(self._path)
        found = None if store is None else store.version(digest)
        try:
            key = self._config.bundle_public_key
            return None if found is None else load_bundle(found, public_key=key)
        except (BundleError, ConfigError) as error:
            log.warning("%s", error)
            return None

    def _look(self) -> tuple[Stamp | None, ...]:
        """What the manifest is, and the signature where one is wanted."""
        signed = self._config.bundle_public_key is not None
        wanted = (MANIFEST_FILE, SIGNATURE_FILE) if signed else (MANIFEST_FILE,)
        return tuple(None if self._path is None else stamp_of(self._path / f) for f in wanted)

"""Signing of a bundle that was read: its signature is written beside its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable
from zeekml.ensemble.signing.signature import SIGNATURE_FILE, sign
from zeekml.errors import BundleError

if TYPE_CHECKING:
    from zeekml.ensemble.bundle import Bundle
    from zeekml.ensemble.signing.keys import PrivateKey


def sign_bundle(bundle: Bundle, key: PrivateKey, out: Path | None = None) -> Path:
    """Sign a bundle into a file, by default model.sig in its directory; where that is.

    `BundleError`: its directory holds more than its files, which no signature would cover.
    """
    if SIGNATURE_FILE in bundle.digests:
        raise BundleError(f"bundle {bundle.path}: {SIGNATURE_FILE} is one of its own files")
    place = bundle.path.resolve() / SIGNATURE_FILE if out is None else out
    with as_output_error(place):
        names = {path.name for path in bundle.path.iterdir()}
        if strange := names - bundle.digests.keys() - {SIGNATURE_FILE}:
            told = printable(", ".join(sorted(strange)), 200)
            raise BundleError(f"bundle {bundle.path} holds other files ({told}); remove them first")
        with replacing(place) as file:
            file.write(sign(bundle.manifest.name, bundle.digests, key))
            os.fchmod(file.fileno(), 0o644)
    return place

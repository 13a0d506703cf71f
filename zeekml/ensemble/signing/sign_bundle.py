"""Signing of a bundle that was read: its signature is written beside its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable
from zeekml.ensemble.signing.signature import SIGNATURE_FILE, is_signature, sign
from zeekml.errors import BundleError, OutputError

if TYPE_CHECKING:
    from zeekml.ensemble.bundle import Bundle
    from zeekml.ensemble.signing.keys import PrivateKey


def sign_bundle(bundle: Bundle, key: PrivateKey, out: Path | None = None) -> Path:
    """Sign a bundle into a file, by default model.sig in its directory; where that is.

    `BundleError`: its directory holds more than its files, which no signature would cover.
    `OutputError`: what is at `out` is no signature, or `out` lies in the bundle by another name.
    """
    if SIGNATURE_FILE in bundle.digests:
        raise BundleError(f"bundle {bundle.path}: {SIGNATURE_FILE} is one of its own files")
    place = bundle.path.resolve() / SIGNATURE_FILE if out is None else out
    if out is not None:
        _refuse_place(bundle.path.resolve(), out)
    with as_output_error(place):
        names = {path.name for path in bundle.path.iterdir()}
        if strange := names - bundle.digests.keys() - {SIGNATURE_FILE}:
            told = printable(", ".join(sorted(strange)), 200)
            raise BundleError(f"bundle {bundle.path} holds other files ({told}); remove them first")
        with replacing(place) as file:
            file.write(sign(bundle.manifest.name, bundle.digests, key))
            os.fchmod(file.fileno(), 0o644)
    return place


def _refuse_place(bundle: Path, out: Path) -> None:
    """Raise an `OutputError` rather than replace a key, a card or whatever else is there."""
    shown, path = printable(str(out), 4096), out.resolve()
    if path.is_relative_to(bundle) and path != bundle / SIGNATURE_FILE:
        told = f"in a bundle the signature is {SIGNATURE_FILE}; name a file elsewhere, or none"
        raise OutputError(f"{shown}: {told}")
    with as_output_error(path):
        there = path.read_bytes() if path.exists() else None
    if there is not None and not is_signature(there):
        raise OutputError(f"{shown}: is there and no signature; choose another file")

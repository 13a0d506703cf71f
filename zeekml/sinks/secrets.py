"""Secrets of sinks: read from files and the environment when they are used, and never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from zeekml.sinks.message import DeliveryError

_LONGEST: Final = 16_384


def read_secret(key: str, file: str | None, variable: str | None) -> str | None:
    """What stands in the file or the environment variable that the keys of a sink name.

    None where there is neither. A `DeliveryError` says what is wrong and never what is in it.
    """
    if file is not None:
        try:
            with Path(file).open("rb") as stream:
                data = stream.read(_LONGEST + 1)
        except OSError as error:
            raise DeliveryError(f"{key}_file {file}: {error.strerror}") from None
        where = f"{key}_file {file}"
    elif variable is not None:
        found = os.environb.get(variable.encode())
        if found is None:
            raise DeliveryError(f"{key}_env {variable}: is not set")
        data, where = found, f"{key}_env {variable}"
    else:
        return None
    text = data.strip().decode("latin-1")
    if not text or len(data) > _LONGEST or not (text.isascii() and text.isprintable()):
        raise DeliveryError(f"{where}: must hold one line of printable ASCII") from None
    return text


def without(text: str, *secrets: str | None) -> str:
    """A text in which no secret is left."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text

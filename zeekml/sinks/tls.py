"""TLS towards the receivers of sinks."""

from __future__ import annotations

import ssl

from zeekml.sink_config import TlsSettings
from zeekml.sinks.message import DeliveryError


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """A context that trusts whom the settings say; a `DeliveryError` names the file at fault."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise DeliveryError(f"ca_file {settings.ca_file}: {why(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file is not None:
        try:
            # an encrypted key must not ask at a terminal
            context.load_cert_chain(settings.cert_file, settings.key_file, lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise DeliveryError(f"cert_file {settings.cert_file}: {why(error)}") from None
    return context


def why(error: BaseException) -> str:
    """An error of network or TLS in words, with nothing of what was sent in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failed'}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__

"""Makes the sink that settings are about; what it needs is imported only then."""

from __future__ import annotations

from zeekml.sink_config import AnySink, SyslogSettings, WebhookSettings
from zeekml.sinks.message import Sink


def new_sink(settings: AnySink) -> Sink:
    """The sink of a `[sinks.NAME]` table."""
    if isinstance(settings, WebhookSettings):
        from zeekml.sinks.webhook import Webhook

        return Webhook(settings)
    if isinstance(settings, SyslogSettings):
        from zeekml.sinks.syslog import Syslog

        return Syslog(settings)
    from zeekml.sinks.command import Command

    return Command(settings)

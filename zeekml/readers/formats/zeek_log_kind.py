"""Which of Zeek's logs a record belongs to: one rule for all formats.

What a log is called is up to whoever configures Zeek or ships its logs: ``conn_eth0``,
``bro_conn``, or a shipper's own word. So a name counts only where it is that of one of Zeek's
logs; otherwise the columns decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from zeekml.readers.batch_builder import is_conn_record
from zeekml.readers.rejects import OTHER

CONN: Final = "conn"

_NAMES: Final = """
bgp capture_loss conn conn_burst conn_long conn_summary dce_rpc dhcp dnp3 dns dpd files ftp http
intel irc kerberos known_certs known_devices known_domains known_hosts known_modbus known_services
ldap ldap_search loaded_scripts long_conn modbus modbus_register_change mqtt_connect mqtt_publish
mqtt_subscribe mysql netcontrol netcontrol_catch_release netcontrol_drop netcontrol_shunt notice
notice_alarm ntlm ntp ocsp open_conn openflow packet_filter pe postgresql quic radius rdp redis rfb
signatures sip smb_cmd smb_files smb_mapping smtp smtp_entities snmp socks software ssh ssl
suricata_corelight telemetry_histogram tunnel unknown_protocols weird weird_stats websocket x509
"""
ZEEK_LOGS: Final = frozenset(_NAMES.split())
"""Names of Zeek's logs and of common packages', but for words that others use as well (``stats``,
``syslog``): the columns of these logs suffice."""

OTHER_CONN_LOGS: Final = frozenset(
    {"conn_burst", "conn_long", "conn_summary", "long_conn", "open_conn"}
)
"""Those that list the same connection again, or again and again while it is open."""

_NO_WORD: Final = re.compile(r"[^a-z0-9]+")
_MOST_WORDS: Final = 3


def log_of(names: Iterable[str], fields: Mapping[str, Any] | Sequence[str]) -> str:
    """The log that records belong to: `CONN`, another one, or ``other``.

    `names` are what they are called, in the order in which it is believed, and `fields` those that
    they have, by Zeek's own names.
    """
    said = [name for name in names if name]
    known = next((name for name in said if name in ZEEK_LOGS), None)
    if known is not None:
        return known
    if is_conn_record(fields):
        return CONN
    return said[0] if said else OTHER


def logs_named(file_name: str) -> set[str]:
    """The logs of Zeek after which a file is named."""
    words = _words(file_name)
    found = set()
    for size in range(_MOST_WORDS, 0, -1):
        for i in range(len(words) - size + 1):
            name = "_".join(words[i : i + size])
            if name in ZEEK_LOGS:
                found.add(name)
                # what is part of a longer name is no name of its own
                words[i : i + size] = [""] * size
    return found


def may_hold_conn(file_name: str, seen: str) -> bool:
    """Tell whether connections may come in a file that begins with records of the log `seen`."""
    named = logs_named(file_name)
    if named or seen == OTHER:
        return CONN in named
    return f"_{'_'.join(_words(seen))}_" not in f"_{'_'.join(_words(file_name))}_"


def _words(text: str) -> list[str]:
    return _NO_WORD.split(text.lower())

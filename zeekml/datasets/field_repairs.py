"""Field repairs: flows of other extractors come to mean what Zeek's columns mean.

A repair is chosen by the columns a table has, never by its name:

- ``x_fwd_hdr_len``, ``x_bwd_hdr_len`` … : CICFlowMeter. It logs transport header bytes and flag
  counts instead of IP bytes and a connection state.
- ``x_argus_state``: Argus, of a tap that saw every packet twice.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
Columns = dict[str, Column]

_FLAGS: Final = ("x_fin_cnt", "x_syn_cnt", "x_fwd_rst", "x_bwd_rst")
_CICFLOWMETER: Final = frozenset({"x_fwd_hdr_len", "x_bwd_hdr_len", *_FLAGS})
_ARGUS: Final = "x_argus_state"
_IPV4_HEADER: Final = 20

# Argus' states for what Zeek would call the connection; those that are not here stay unknown
_ARGUS_STATES: Final = (
    dict.fromkeys(("FIN", "CON", "CLO"), "SF")
    | dict.fromkeys(("INT", "REQ"), "S0")
    | {"ACC": "S1", "RST": "RSTO", "ECO": "OTH"}
)

# names as Zeek gives them; a port says nothing about what was spoken, so this is used only where
# an environment has no service at all and then only for flows that carried data
_PORTS: Final = """
ftp-data 20; ftp 21; ssh 22; telnet 23; smtp 25 587; dns 53; dhcp 67; http 80 8000 8080; krb 88;
pop3 110; ntp 123; imap 143; snmp 161; ldap 389; ssl 443 465 636 993 995 8443; smb 445; mqtt 1883;
mysql 3306; rdp 3389; sip 5060
"""
_SERVICE_OF_PORT: Final = {
    int(port): service for service, *ports in map(str.split, _PORTS.split(";")) for port in ports
}


def repair(columns: Columns) -> list[str]:
    """Apply every repair that fits, in place; a sentence for each, for the data report.

    Numbers are float64 with NaN for missing, texts objects with None. All flow columns must be
    there; ``x_*`` columns decide which repair applies.
    """
    notes = []
    if columns.keys() >= _CICFLOWMETER:
        _repair_cicflowmeter(columns)
        notes.append(
            "CICFlowMeter: IP bytes from header lengths, connection state from flag counts"
        )
    if _ARGUS in columns:
        for name in ("orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes"):
            # a lone odd packet was seen once; it must not become half a packet
            columns[name] = np.ceil(columns[name] / 2)
        states = [_ARGUS_STATES.get(value) for value in columns[_ARGUS]]
        state: Column = np.array(states, dtype=object)
        state[(state == "SF") & (columns["resp_pkts"] == 0)] = "S0"
        columns["conn_state"] = state
        notes.append(
            "Argus: packets and bytes halved (counted twice), connection state from Argus' own"
        )
    if not any(columns["service"].astype(bool)):
        ports = columns["id.resp_p"]
        known = [_SERVICE_OF_PORT.get(int(p)) if p == p else None for p in ports]
        names: Column = np.array(known, dtype=object)
        payload = np.nan_to_num(columns["orig_bytes"]) + np.nan_to_num(columns["resp_bytes"])
        # a sensor names a TCP service by what it read, and a UDP one already by the question
        names[(payload <= 0) & (columns["proto"] != "udp")] = None
        columns["service"] = names
        filled = sum(name is not None for name in names)
        notes.append(f"no services logged: {filled:,} flows with data named by well-known port")
    return notes


def _repair_cicflowmeter(columns: Columns) -> None:
    for side, headers in (("orig", "x_fwd_hdr_len"), ("resp", "x_bwd_hdr_len")):
        packets = columns[f"{side}_pkts"]
        columns[f"{side}_ip_bytes"] = (
            columns[f"{side}_bytes"] + columns[headers] + _IPV4_HEADER * packets
        )
    tcp = columns["proto"] == "tcp"
    answered = columns["resp_pkts"] > 0
    silent = (columns["orig_bytes"] == 0) & (columns["resp_bytes"] == 0)
    syn, fin = columns["x_syn_cnt"] > 0, columns["x_fin_cnt"]
    orig_reset, resp_reset = columns["x_fwd_rst"] > 0, columns["x_bwd_rst"] > 0

    # later lines outrank earlier ones
    state = np.full(len(tcp), "S0", dtype=object)
    state[answered] = "SF"
    state[tcp & ~answered & ~syn] = "OTH"
    open_tcp = tcp & answered
    state[open_tcp & (fin == 0)] = "OTH"
    state[open_tcp & (fin == 0) & syn] = "S1"
    state[open_tcp & (fin == 1)] = "S2"
    state[open_tcp & (fin >= 2)] = "SF"
    state[open_tcp & resp_reset] = "RSTR"
    state[open_tcp & orig_reset] = "RSTO"
    state[open_tcp & resp_reset & silent] = "REJ"
    state[columns["proto"] == "icmp"] = "OTH"
    columns["conn_state"] = state

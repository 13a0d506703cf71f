"""Repairs of other extractors' flows."""

from __future__ import annotations

from typing import Any

import numpy as np

from zeekml.datasets.field_repairs import Columns, repair


def columns(**changes: list[Any]) -> Columns:
    """Return one row per value; numbers as floats, texts as objects."""
    length = len(next(iter(changes.values())))
    texts = {"proto", "service", "conn_state", "x_argus_state"}
    out: Columns = {
        "proto": np.array(["tcp"] * length, dtype=object),
        "service": np.array(["known"] * length, dtype=object),
        "conn_state": np.array([None] * length, dtype=object),
        "id.resp_p": np.full(length, 80.0),
    }
    for name in ("orig", "resp"):
        for quantity in ("bytes", "pkts", "ip_bytes"):
            out[f"{name}_{quantity}"] = np.full(length, np.nan)
    for name, values in changes.items():
        name = name.replace("__", ".")
        out[name] = np.array(values, dtype=object if name in texts else np.float64)
    return out


def cicflowmeter(**changes: list[Any]) -> Columns:
    length = len(next(iter(changes.values())))
    flags = {
        name: [0] * length
        for name in (
            "x_fwd_hdr_len",
            "x_bwd_hdr_len",
            "x_fin_cnt",
            "x_syn_cnt",
            "x_fwd_rst",
            "x_bwd_rst",
        )
    }
    return columns(**{**flags, **changes})


def test_nothing_to_repair() -> None:
    data = columns(orig_pkts=[4])
    assert repair(data) == []
    assert data["orig_pkts"].tolist() == [4]


def test_cicflowmeter_bytes() -> None:
    data = cicflowmeter(orig_bytes=[64], orig_pkts=[2], x_fwd_hdr_len=[16], resp_pkts=[0])
    repair(data)
    assert data["orig_ip_bytes"].tolist() == [64 + 16 + 2 * 20]


def test_cicflowmeter_states() -> None:
    cases = {
        # (orig bytes, resp packets, resp bytes, SYN, FIN, orig RST, resp RST) -> state
        (0, 0, 0, 1, 0, 0, 0): "S0",
        (0, 0, 0, 0, 0, 0, 0): "OTH",
        (0, 1, 0, 1, 0, 0, 1): "REJ",
        (9, 3, 9, 1, 1, 1, 0): "RSTO",
        (9, 3, 9, 1, 1, 0, 1): "RSTR",
        (9, 3, 9, 1, 2, 0, 0): "SF",
        (9, 3, 9, 1, 1, 0, 0): "S2",
        (9, 3, 9, 1, 0, 0, 0): "S1",
        (9, 3, 9, 0, 0, 0, 0): "OTH",
    }
    rows = list(zip(*cases, strict=True))
    names = (
        "orig_bytes",
        "resp_pkts",
        "resp_bytes",
        "x_syn_cnt",
        "x_fin_cnt",
        "x_fwd_rst",
        "x_bwd_rst",
    )
    data = cicflowmeter(**{name: list(row) for name, row in zip(names, rows, strict=True)})
    notes = repair(data)
    assert data["conn_state"].tolist() == list(cases.values())
    assert any("CICFlowMeter" in note for note in notes)


def test_cicflowmeter_datagrams() -> None:
    data = cicflowmeter(proto=["udp", "udp", "icmp"], resp_pkts=[1, 0, 1])
    repair(data)
    assert data["conn_state"].tolist() == ["SF", "S0", "OTH"]


def test_argus() -> None:
    data = columns(
        x_argus_state=["FIN", "CON", "INT", "unheard of"],
        orig_pkts=[10, 2, 1, 4],
        resp_pkts=[8, 0, 0, 2],
        orig_ip_bytes=[1000, 120, 60, 400],
        resp_ip_bytes=[800, 0, 0, np.nan],
    )
    repair(data)
    assert data["orig_pkts"].tolist() == [5, 1, 1, 2]
    assert data["orig_ip_bytes"].tolist() == [500, 60, 30, 200]
    assert np.isnan(data["resp_ip_bytes"][3])
    # answered according to Argus, but nothing came back
    assert data["conn_state"].tolist() == ["SF", "S0", "S0", None]


def test_services_by_port_only_where_there_are_none() -> None:
    data = columns(
        service=[None] * 5,
        proto=["tcp", "tcp", "udp", "tcp", "tcp"],
        id__resp_p=[80, 80, 53, 9, np.nan],
        orig_bytes=[100, 0, 30, 10, 10],
        resp_bytes=[10, 0, 0, 10, 10],
    )
    notes = repair(data)
    # a connection without data tells no service
    assert data["service"].tolist() == ["http", None, "dns", None, None]
    assert any("2 flows" in note for note in notes)
    kept = columns(service=["ssl", None], orig_bytes=[1, 1])
    assert repair(kept) == []
    assert kept["service"].tolist() == ["ssl", None]

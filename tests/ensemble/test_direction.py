from __future__ import annotations

import numpy as np
import pytest

from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.direction import name_by_direction
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

C2, WEB, DOS = (THREATS.index(threat) for threat in ("c2", "web", "dos"))


def named(flags: dict[str, float], shares: dict[int, float]) -> tuple[np.ndarray, int]:
    """Shares and likeliest threat of a row with these flags, all others not set."""
    matrix = np.zeros((1, len(FEATURES)), np.float32)
    for name, value in flags.items():
        matrix[0, FEATURE_INDEX[name]] = value
    told = np.zeros((1, len(THREATS)))
    for threat, share in shares.items():
        told[0, threat] = share
    likeliest = told.argmax(axis=1).astype(np.int8)
    name_by_direction(matrix, told, likeliest)
    return told[0], int(likeliest[0])


@pytest.mark.parametrize(
    ("flags", "moves"),
    [
        ({"resp_local": 1, "service_http": 1}, True),
        ({"resp_local": 1, "service_ssl": 1}, True),
        ({"resp_local": 1, "port_web": 1}, True),
        ({"resp_local": 1, "service_ssh": 1}, False),
        ({"service_http": 1, "port_web": 1}, False),
        ({"orig_local": 1, "service_http": 1}, False),
        ({"orig_local": 1, "resp_local": 1, "service_http": 1}, True),
        ({"orig_local": 1, "resp_local": 1, "service_ssl": 1}, False),
        ({"orig_local": 1, "resp_local": 1, "port_web": 1}, False),
        ({"resp_local": np.nan, "service_http": 1}, False),
        ({"resp_local": 1, "service_http": np.nan}, False),
        ({"resp_local": 1, "orig_local": np.nan, "port_web": 1}, False),
    ],
)
def test_a_web_server_inside_commands_nobody(flags: dict[str, float], moves: bool) -> None:
    shares, likeliest = named(flags, {C2: 0.5, WEB: 0.25, DOS: 0.25})
    assert (likeliest == WEB) == moves
    assert shares.sum() == 1.0
    assert (shares[C2], shares[WEB]) == ((0.0, 0.75) if moves else (0.5, 0.25))


def test_other_threats_stay_what_they_are() -> None:
    shares, likeliest = named({"resp_local": 1, "port_web": 1}, {C2: 0.25, WEB: 0.125, DOS: 0.625})
    assert likeliest == DOS
    assert shares[WEB] == 0.375


def test_rows_are_named_one_by_one() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.choice(np.array([0, 1, np.nan], np.float32), (200, len(FEATURES)))
    shares = rng.dirichlet(np.ones(len(THREATS)), 200)
    whole, threats = shares.copy(), shares.argmax(axis=1).astype(np.int8)
    name_by_direction(matrix, whole, threats)
    assert 0 < (whole != shares).any(axis=1).sum() < 200
    for row in range(200):
        one, threat = shares[row : row + 1].copy(), np.array([-1], np.int8)
        name_by_direction(matrix[row : row + 1], one, threat)
        assert (one[0] == whole[row]).all()
    assert (threats == whole.argmax(axis=1)).all()

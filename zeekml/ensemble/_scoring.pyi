import numpy as np
import numpy.typing as npt

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Bytes = npt.NDArray[np.uint8]

def scale(
    matrix: _Float32,
    columns: npt.NDArray[np.int64],
    mean: _Float32,
    width: _Float32,
    fill: _Float32,
    clip: float,
    out: _Float32,
) -> None: ...
def take(values: _Float32, member: int, logits: _Float32) -> bool: ...
def member_log_odds(logits: _Float32, knows: _Bytes, odds: _Float64) -> None: ...
def averaged_log_odds(odds: _Float64, probability: bool, averaged: _Float64) -> None: ...
def threat_shares(
    logits: _Float32,
    knows: _Bytes,
    probability: bool,
    votes: _Float64,
    shares: _Float64,
    likeliest: npt.NDArray[np.int8],
) -> None: ...
def calibrate(
    odds: _Float64,
    log_odds: _Float64,
    slope: float,
    intercept: float,
    score: _Float64,
    members: _Float32,
    spread: _Float64,
) -> None: ...

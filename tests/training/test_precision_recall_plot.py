from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.ensemble.classes import THREATS
from zeekml.errors import OutputError
from zeekml.training.leave_one_out import Fold
from zeekml.training.precision_recall_plot import draw_precision_recall
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.training_rows import prepare

Make = Callable[..., Environment]


def test_a_picture_is_drawn_or_the_reason_given(make_environment: Make, tmp_path: Path) -> None:
    environment = make_environment()
    log_odds = np.where(environment.labels > 0, 1.0, -1.0)
    votes = np.zeros((len(log_odds), len(THREATS)))
    fold = Fold(prepare(environment, seed=0), Prediction(log_odds, log_odds[:, None], votes))
    path = tmp_path / "curves.png"
    draw_precision_recall([fold], path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    draw_precision_recall([fold], path)
    assert path.read_bytes() == data
    with pytest.raises(OutputError, match=r"curves\.png"):
        draw_precision_recall([fold], tmp_path / "missing" / "curves.png")

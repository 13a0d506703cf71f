"""Environments as an ensemble might score them that has not seen them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zeekml.datasets.environment import Environment
from zeekml.detection.flow_conditions import Condition
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS
from zeekml.training.leave_one_out import Fold
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.training_rows import prepare

SCAN = THREATS.index("scan")


def fold(environment: Environment, log_odds: np.ndarray, threat: int = SCAN) -> Fold:
    votes = np.zeros((len(log_odds), len(THREATS)))
    votes[:, threat] = 1
    return Fold(prepare(environment, seed=0), Prediction(log_odds, log_odds[:, None], votes))


def noisy_fold(environment: Environment, seed: int, quality: float) -> Fold:
    rng = np.random.default_rng(seed)
    malicious = environment.labels > 0
    return fold(environment, quality * malicious + rng.standard_normal(len(malicious)))


def with_floor(policy: Policy) -> Policy:
    """The policy with a floor that every flow meets."""
    any_flow = (FlowRule((Condition("src60_flows", ">=", 1.0),)),)
    return Policy(
        policy.file,
        tuple(replace(d, floor=any_flow if d.threat == "web" else ()) for d in policy.detectors),
    )

"""The page that `zeekml score --report` writes: a run's outputs, for people."""

from __future__ import annotations

from zeekml.triage.score_report import score_report, write_score_report

__all__ = ["score_report", "write_score_report"]

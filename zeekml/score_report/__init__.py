"""The page that `zeekml score --report` writes: a run's outputs, for people."""

from __future__ import annotations

from zeekml.score_report.build import score_report, write_score_report

__all__ = ["score_report", "write_score_report"]

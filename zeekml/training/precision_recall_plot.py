"""Pictures of an evaluation. The only module that needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zeekml.errors import OutputError
from zeekml.training.leave_one_out import Fold


def draw_precision_recall(folds: Sequence[Fold], path: Path) -> None:
    """Draw one precision-recall curve per environment, each scored by an ensemble without it."""
    from matplotlib.figure import Figure
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for fold in folds:
        used = fold.labels >= 0
        malicious = fold.labels[used] > 0
        scores = fold.prediction.log_odds[used]
        precision, recall, _ = precision_recall_curve(malicious, scores)
        worth = average_precision_score(malicious, scores)
        share = malicious.mean()
        name = fold.prepared.name
        axes.step(
            recall, precision, where="post", label=f"{name}: AP {worth:.2f} ({share:.0%} malicious)"
        )
    axes.set(
        xlabel="recall",
        ylabel="precision",
        xlim=(0, 1),
        ylim=(0, 1.02),
        title="Each environment scored by an ensemble trained without it",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="center", fontsize="small")
    try:
        figure.savefig(path, dpi=120, format="png", metadata={"Software": None})
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error

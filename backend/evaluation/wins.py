"""Who wins: the views that the photo does not show, subject by subject, method against method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNSEEN_METRICS: Mapping[str, bool] = {
    "perceptual": False,
    "contextual": False,
    "psnr_db": True,
}
"""Metric -> whether higher is better."""
_FRONT = "000"


def unseen_means(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Mean of each metric over the seven views beside and behind, after ICP.

    Args:
        metrics: one method on one subject, as the judge made them.
    """
    each = metrics["aligned"]["icp"]["views"]["each"]
    views = [values for azimuth, values in each.items() if azimuth != _FRONT]
    return {name: sum(view[name] for view in views) / len(views) for name in UNSEEN_METRICS}


def count_wins(
    subjects: Iterable[Mapping[str, Mapping[str, Any]]], methods: Sequence[str]
) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Metric -> method -> other method -> ``won`` subjects of those ``of`` that both finished.

    Equal values are no win for either: two names of one run win nothing against each other.

    Args:
        subjects: each subject's methods and their metrics.
    """
    means = [
        {method: unseen_means(found[method]) for method in methods if method in found}
        for found in subjects
    ]
    return {
        metric: {
            ours: {
                other: _duel(means, metric, ours, other, higher)
                for other in methods
                if other != ours
            }
            for ours in methods
        }
        for metric, higher in UNSEEN_METRICS.items()
    }


def _duel(
    means: Sequence[Mapping[str, Mapping[str, float]]],
    metric: str,
    ours: str,
    other: str,
    higher: bool,
) -> dict[str, int]:
    both = [(one[ours][metric], one[other][metric]) for one in means if {ours, other} <= set(one)]
    won = sum(a > b if higher else a < b for a, b in both)
    return {"won": won, "of": len(both)}

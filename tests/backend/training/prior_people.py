"""A tiny compact prior in training, on people of two ellipsoids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ellipsoid_people import TINY

from backend.training.prior_batches import BatchShape
from backend.training.prior_store import PackedPerson
from backend.training.prior_training import PriorTrainer, PriorTraining

CPU = torch.device("cpu")
SHAPE = BatchShape(people=1, targets=2, width=64)


def tiny_training(
    steps: int, seed: int = 0, perceptual: float = 0.0, **changes: object
) -> PriorTraining:
    """Settings of a run whose steps take a tenth of a second."""
    return PriorTraining(
        steps=steps, seed=seed, network=TINY, batch=SHAPE, perceptual=perceptual, **changes
    )  # type: ignore[arg-type]


def tiny_trainer(people: Sequence[PackedPerson], settings: PriorTraining) -> PriorTrainer:
    """A new run."""
    return PriorTrainer(settings, people, CPU)

"""Weights of the lifting networks, with a digest that is checked on every load."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load, save

from backend.fitting.lifting import Lifter
from backend.weight_files import CONFIG, WEIGHTS, WeightFolder

SHIPPED = Path(__file__).parent / "weights" / "lifter"
"""The folder that comes with this package."""
FORMAT = 2
"""Counts up when features, slopes or layers change their meaning."""


def _files(folder: Path) -> WeightFolder:
    return WeightFolder(folder, "Pose lifting", "Install humanref again.", FORMAT)


def save_lifter(
    folder: Path, weights: Mapping[str, Float[np.ndarray, "..."]], training: Mapping[str, Any]
) -> None:
    """Write the weights of a :class:`Lifter`, its networks as half precision.

    Args:
        folder: is made.
        weights: of :func:`backend.training.lifter_training.weights_of`.
        training: a record of how they came about.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    halved = {
        name: np.ascontiguousarray(value, np.float16 if name.startswith("network") else np.float32)
        for name, value in weights.items()
    }
    _files(folder).write(save(halved), {"training": dict(training)})


def load_lifter(folder: Path) -> Lifter:
    """Read a folder of :func:`save_lifter`.

    Raises:
        HumanRefError: ``weights_missing``; ``weights_corrupt`` when a file is not as it was written.
    """
    files = _files(folder)
    data, _ = files.read()
    try:
        return Lifter({name: value.astype(np.float64) for name, value in load(data).items()})
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise files.corrupt(f"{WEIGHTS} does not hold the networks of {CONFIG}") from error


@cache
def shipped_lifter() -> Lifter:
    """The one that comes with this package, read once.

    Raises:
        HumanRefError: see :func:`load_lifter`.
    """
    return load_lifter(SHIPPED)

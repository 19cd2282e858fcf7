"""Weights of the compact normal network: two files, and a digest that is checked on every load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from backend.perception.compact_normal_network import NormalNetwork, NormalNetworkShape
from backend.weight_files import CONFIG, WEIGHTS, WeightFolder

SHIPPED = Path(__file__).parent / "weights" / "normals"
"""The folder that comes with this package."""
FORMAT = 1
"""Counts up when the network's inputs, outputs or layers change their meaning."""


def _files(folder: Path) -> WeightFolder:
    advice = "Install humanref again, or take another provider with --normals-provider body."
    return WeightFolder(folder, "The normal estimator", advice, FORMAT)


def save_normal_network(folder: Path, network: NormalNetwork, training: Mapping[str, Any]) -> None:
    """Write ``network`` as half precision with ``training``, a record of how it came about.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    record = {"shape": asdict(network.shape), "training": dict(training)}
    _files(folder).write(save(state), record)


def load_normal_network(folder: Path = SHIPPED) -> NormalNetwork:
    """Read a folder of :func:`save_normal_network`, ready to estimate, on the CPU.

    Raises:
        HumanRefError: ``weights_missing``; ``weights_corrupt`` when a file is not as it was written.
    """
    files = _files(folder)
    data, config = files.read()
    try:
        shape = NormalNetworkShape(
            **{**config["shape"], "widths": tuple(config["shape"]["widths"])}
        )
    except (KeyError, TypeError) as error:
        raise files.corrupt(f"{CONFIG} does not say which network it is") from error
    try:
        with torch.random.fork_rng(devices=[]):
            network = NormalNetwork(shape)
        network.load_state_dict({name: value.float() for name, value in load(data).items()})
    except (SafetensorError, RuntimeError, ValueError, ZeroDivisionError) as error:
        raise files.corrupt(f"{WEIGHTS} does not hold the network of {CONFIG}") from error
    return network.eval().requires_grad_(False)

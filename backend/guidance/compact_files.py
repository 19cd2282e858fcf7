"""The compact prior on disk: a diffusers folder with half-precision safetensors and their digests.

model_index.json                                   what it is, digests, how it was trained
unet/config.json                                   diffusers' UNet2DConditionModel
unet/diffusion_pytorch_model.fp16.safetensors
geometry_bias.safetensors                          of the reference attention
seam_remover.safetensors                           the last convolutions
scheduler/scheduler_config.json                    the noise schedule
README.md                                          the model card
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.errors import HumanRefError
from backend.files import write_whole
from backend.guidance.compact_network import CompactConfig, CompactNetwork, noise_schedule

SHIPPED = Path(__file__).with_name("weights") / "compact"
INDEX = "model_index.json"
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
BIAS = "geometry_bias.safetensors"
SEAMS = "seam_remover.safetensors"
_CLASS = "HumanRefCompactPrior"


@dataclass(frozen=True)
class CompactModel:
    """A loaded prior."""

    network: CompactNetwork
    """float32, in evaluation mode, without gradients."""
    licence: str
    training: Mapping[str, Any]
    """How it was trained, as its folder tells."""


def is_compact(folder: Path) -> bool:
    """Whether a folder holds a compact prior (and not, say, Stable Diffusion)."""
    try:
        return bool(
            json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"] == _CLASS
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_compact(
    network: CompactNetwork, folder: Path, licence: str, training: Mapping[str, Any]
) -> int:
    """Write a prior that :func:`read_compact` reads; bytes of its weights. The model card is not touched.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    from diffusers import DDPMScheduler
    from safetensors.torch import save

    files = {
        UNET: save(_halves(network.unet.state_dict()), metadata={"format": "pt"}),
        BIAS: save(_halves(network.biases.state_dict())),
        SEAMS: save(_halves(network.seams.state_dict())),
    }
    scheduler: Any = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="sample")
    index = {
        "_class_name": _CLASS,
        "licence": licence,
        "channels": list(network.config.channels),
        "heads": network.config.heads,
        "geometry": network.config.geometry,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "training": dict(training),
    }
    texts = {
        INDEX: json.dumps(index, indent=1),
        "unet/config.json": network.unet.to_json_string(),
        "scheduler/scheduler_config.json": scheduler.to_json_string(),
    }
    for name, data in {
        **files,
        **{n: (t.strip() + "\n").encode() for n, t in texts.items()},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, data)
    return sum(len(data) for data in files.values())


def read_compact(folder: Path, device: torch.device) -> CompactModel:
    """Load a prior; every byte of its weights is checked against the digests first.

    Raises:
        HumanRefError: ``weights_missing``, ``weights_corrupt``.
    """
    from safetensors.torch import load

    index, data = check_compact(folder)
    try:
        config = CompactConfig(tuple(index["channels"]), index["heads"], index["geometry"])
        licence, training = str(index["licence"]), index["training"]
        with torch.random.fork_rng(devices=[]):
            network = CompactNetwork(config, noise_schedule())
        network.unet.load_state_dict(_floats(load(data[UNET])))
        network.biases.load_state_dict(_floats(load(data[BIAS])))
        network.seams.load_state_dict(_floats(load(data[SEAMS])))
    except (RuntimeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        # The weights are those of the index: it is the index that does not describe them.
        raise _corrupt(folder, INDEX) from error
    network.to(device).eval().requires_grad_(False)
    return CompactModel(network, licence, training)


def check_compact(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The index of a prior and its weights, as they were published.

    Raises:
        HumanRefError: ``weights_missing``, ``weights_corrupt``.
    """
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        digests = {name: str(index["sha256"][name]) for name in (UNET, BIAS, SEAMS)}
        data = {name: (folder / name).read_bytes() for name in digests}
    except FileNotFoundError as error:
        raise HumanRefError(
            "weights_missing",
            f"The compact prior in {folder} is not whole: {Path(str(error.filename)).name} is missing.",
            "Install HumanRef again, or name another prior with --prior.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _corrupt(folder, INDEX) from error
    for name, content in data.items():
        if hashlib.sha256(content).hexdigest() != digests[name]:
            raise _corrupt(folder, name)
    return index, data


def _corrupt(folder: Path, name: str) -> HumanRefError:
    return HumanRefError(
        "weights_corrupt",
        f"{folder / name} is damaged: its content is not what was published.",
        "Install HumanRef again, or name another prior with --prior.",
    )


def _halves(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().half().contiguous() for name, tensor in state.items()}


def _floats(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.float() for name, tensor in state.items()}

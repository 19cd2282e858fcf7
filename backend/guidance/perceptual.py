"""Perceptual loss (3.3.3): distance of two pictures in the features of a classifier."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.perception.efficientnet_lite import load_efficientnet_lite0
from backend.perception.hub import require

_LPIPS_VGG = "vgg16-397923af.pth"


@dataclass(frozen=True)
class PerceptualLoss:
    """A named distance of pictures, differentiable in the first.

    ``distance`` takes two (b, 3, h, w) sRGB pictures in [0, 1] and gives a scalar, 0 for equal ones.
    """

    name: str
    why: str
    distance: Callable[[Tensor, Tensor], Tensor]


def feature_distance(
    first: Sequence[Float[Tensor, "b _ _ _"]], second: Sequence[Float[Tensor, "b _ _ _"]]
) -> Float[Tensor, ""]:
    """Squared distance of features of unit length at each place; mean over places, sum over scales.

    LPIPS (Zhang et al. 2018) without its learned weights of channels.
    """
    return torch.stack(
        [(_unit(a) - _unit(b)).square().sum(1).mean() for a, b in zip(first, second, strict=True)]
    ).sum()


def choose_perceptual(name: str, device: torch.device) -> PerceptualLoss:
    """The distance called ``name``: ``effnet-lite0``, ``lpips-vgg``, or ``auto`` (which says why).

    Raises:
        HumanRefError: ``missing_package``, ``weights_missing``, ``weights_unreadable``,
            ``perceptual_unknown``.
    """
    if name == "auto":
        missing = _why_no_lpips()
        if missing is None:
            return _lpips(device, "installed, with its weights")
        return _efficientnet(device, f"auto: {missing}")
    if name == "effnet-lite0":
        return _efficientnet(device, "asked for")
    if name == "lpips-vgg":
        require("lpips", "lpips", "torchvision")
        missing = _why_no_lpips()
        if missing is not None:
            raise HumanRefError(
                "weights_missing",
                f"LPIPS cannot run here: {missing}.",
                "Fetch them once with: python -c \"import lpips; lpips.LPIPS(net='vgg')\"",
            )
        return _lpips(device, "asked for")
    raise HumanRefError(
        "perceptual_unknown",
        f"There is no perceptual loss called {name!r}.",
        "Choose auto, effnet-lite0 or lpips-vgg.",
    )


def _efficientnet(device: torch.device, why: str) -> PerceptualLoss:
    network = load_efficientnet_lite0().to(device)

    def distance(first: Tensor, second: Tensor) -> Tensor:
        return feature_distance(network(first), network(second))

    return PerceptualLoss("EffNet-Lite0 perceptual", why, distance)


def _why_no_lpips() -> str | None:
    """None where LPIPS-VGG would run without a download, else the reason."""
    absent = [name for name in ("lpips", "torchvision") if not importlib.util.find_spec(name)]
    if absent:
        return f"{' and '.join(absent)} not installed"
    weights = Path(torch.hub.get_dir()) / "checkpoints" / _LPIPS_VGG
    return None if weights.is_file() else "the weights of VGG16 are not on this machine"


def _lpips(device: torch.device, why: str) -> PerceptualLoss:
    import lpips

    try:
        network: Any = lpips.LPIPS(net="vgg", verbose=False)
    except Exception as error:  # torch.load raises whatever a torn file makes its readers raise.
        raise HumanRefError(
            "weights_unreadable",
            f"{_LPIPS_VGG} cannot be read ({type(error).__name__}).",
            "Delete it and fetch it again, or use the features effnet-lite0.",
        ) from error
    network.to(device).eval().requires_grad_(False)

    def distance(first: Tensor, second: Tensor) -> Tensor:
        value: Tensor = network(first, second, normalize=True).mean()
        return value

    return PerceptualLoss("LPIPS-VGG", why, distance)


def _unit(features: Tensor) -> Tensor:
    return features * features.square().sum(1, keepdim=True).add(1e-10).rsqrt()

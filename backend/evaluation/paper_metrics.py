"""The paper's own three metrics (4.1), where their networks' weights are on this machine.

LPIPS (VGG16) between photo and render at the photo's view; contextual distance (VGG19) and CLIP score
between the photo and renders of other views. Nothing is downloaded: what is absent is "unavailable".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from backend.errors import HumanRefError
from backend.evaluation.features import as_batch, contextual_distance
from backend.guidance.perceptual import choose_perceptual
from backend.perception.hub import installed, local_weights

UNAVAILABLE = "unavailable"
VGG19_FILE = "vgg19-dcbb9e9d.pth"
CLIP_REPO = "openai/clip-vit-base-patch32"

Metric = Callable[[Float[np.ndarray, "h w 3"], Float[np.ndarray, "k m 3"]], float]
"""Photo and render, both over grey, sRGB in [0, 1]; LPIPS alone needs them of one size."""

# Channels of VGG19's convolutions up to conv4_2, 0 for pooling.
_VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512)
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
_CLIP_SIDE = 224
_CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
_CLIP_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


@dataclass(frozen=True)
class PaperMetrics:
    """The metrics that can run here, and why the others cannot."""

    found: Mapping[str, Metric]
    """``lpips_vgg``, ``contextual_vgg19``, ``clip_score``."""
    absent: Mapping[str, str]
    """Name -> reason."""

    def __call__(
        self, name: str, photo: Float[np.ndarray, "h w 3"], render: Float[np.ndarray, "k m 3"]
    ) -> float | str:
        """A metric's value, or the word "unavailable"."""
        metric = self.found.get(name)
        return UNAVAILABLE if metric is None else metric(photo, render)


def load_paper_metrics() -> PaperMetrics:
    """Look for the three networks on this machine."""
    found: dict[str, Metric] = {}
    absent: dict[str, str] = {}
    loaders = {"lpips_vgg": _lpips, "contextual_vgg19": _contextual, "clip_score": _clip}
    for name, load in loaders.items():
        try:
            found[name] = load()
        except HumanRefError as error:
            absent[name] = error.message
    return PaperMetrics(found, absent)


def _lpips() -> Metric:
    distance = choose_perceptual("lpips-vgg", torch.device("cpu")).distance

    def metric(photo: np.ndarray, render: np.ndarray) -> float:
        with torch.no_grad():
            return float(distance(as_batch(render), as_batch(photo)))

    return metric


def _contextual() -> Metric:
    path = Path(torch.hub.get_dir()) / "checkpoints" / VGG19_FILE
    if not path.is_file():
        raise HumanRefError("weights_missing", f"The weights {VGG19_FILE} are not on this machine.")
    network = vgg19_features()
    try:
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(
            {name: weights[f"features.{name}"] for name in network.state_dict()}
        )
    except Exception as error:
        raise HumanRefError(
            "weights_unreadable", f"{VGG19_FILE} cannot be read ({type(error).__name__})."
        ) from error

    def features(picture: np.ndarray) -> Tensor:
        with torch.no_grad():
            found: Tensor = network((as_batch(picture) - _MEAN) / _STD)
        return found[0].flatten(1).T

    return lambda photo, render: contextual_distance(features(render), features(photo))


def vgg19_features() -> nn.Sequential:
    """VGG19 (Simonyan and Zisserman 2015) up to conv4_2, numbered as torchvision's ``features``."""
    layers: list[nn.Module] = []
    width = 3
    for channels in _VGG19:
        if channels == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(width, channels, 3, padding=1), nn.ReLU()]
        width = channels
    return nn.Sequential(*layers).eval().requires_grad_(False)


def _clip() -> Metric:
    if not installed("transformers"):
        raise HumanRefError("missing_package", "CLIP needs transformers, which is not installed.")
    folder = local_weights(CLIP_REPO)
    if folder is None:
        raise HumanRefError("weights_missing", f"{CLIP_REPO} is not on this machine.")
    return clip_metric(folder)


def clip_metric(folder: Path) -> Metric:
    """100 times the cosine of two pictures' CLIP embeddings, from a folder of transformers.

    Raises:
        HumanRefError: ``weights_unreadable``.
    """
    from transformers import CLIPVisionModelWithProjection

    try:
        network: Any = CLIPVisionModelWithProjection.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise HumanRefError(
            "weights_unreadable", f"The CLIP model in {folder.name} cannot be loaded."
        ) from error
    network.eval().requires_grad_(False)

    def embed(picture: np.ndarray) -> Tensor:
        batch = as_batch(picture)
        # The whole person stays in the square that CLIP sees.
        height, width = batch.shape[-2:]
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        pads = (left, side - width - left, top, side - height - top)
        square = functional.pad(batch, pads, value=0.5)
        shape = (_CLIP_SIDE, _CLIP_SIDE)
        small = functional.interpolate(square, shape, mode="bicubic", antialias=True).clamp(0, 1)
        with torch.no_grad():
            found: Tensor = network(pixel_values=(small - _CLIP_MEAN) / _CLIP_STD).image_embeds
        return found[0]

    def metric(photo: np.ndarray, render: np.ndarray) -> float:
        return 100.0 * float(functional.cosine_similarity(embed(photo), embed(render), dim=0))

    return metric

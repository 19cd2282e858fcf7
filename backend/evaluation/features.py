"""Distances of two pictures in the features of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from backend.guidance.perceptual import feature_distance
from backend.perception.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0

BANDWIDTH = 0.5
"""h of the contextual distance, as its paper has it."""
_EPSILON = 1e-5
_LONGER_SIDE = 256
# A quarter, an eighth and a sixteenth of the picture's size: texture, not whole shapes.
_CONTEXTUAL_SCALES = (1, 2, 3)


def contextual_distance(
    ours: Float[Tensor, "n c"], truth: Float[Tensor, "m c"], bandwidth: float = BANDWIDTH
) -> float:
    """-log of the contextual similarity of two sets of features (Mechrez et al. 2018, Eq. 2 to 5).

    Cosine distances after taking the truth's mean away; each of ours is compared with its nearest; every
    feature of the truth looks for the one of ours that speaks for it most. 0 for equal sets of distinct
    features; blind to where things are.
    """
    mean = truth.mean(0)
    a = functional.normalize(ours - mean, dim=1)
    b = functional.normalize(truth - mean, dim=1)
    distance = (1.0 - a @ b.T).clamp(min=0.0)
    relative = distance / (distance.min(1, keepdim=True).values + _EPSILON)
    similarity = torch.softmax((1.0 - relative) / bandwidth, 1)
    return -float(similarity.max(0).values.mean().log())


def as_batch(picture: Float[np.ndarray, "h w c"]) -> Float[Tensor, "1 c _ _"]:
    """A picture whose longer side becomes 256 pixels, as a network takes it."""
    factor = _LONGER_SIDE / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(picture.astype(np.float32), size, interpolation=method)
    small = small.reshape(size[1], size[0], -1)
    return torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None]


def inside(
    features: Float[Tensor, "1 c _ _"], silhouette: Float[Tensor, "1 1 h w"]
) -> Float[Tensor, "n c"]:
    """The features whose place lies at least half inside a silhouette (all where none does)."""
    height, width = features.shape[-2:]
    share = functional.adaptive_avg_pool2d(silhouette, (height, width))[0, 0]
    flat = features[0].flatten(1).T
    within = share.flatten() > 0.5
    return flat[within] if bool(within.any()) else flat


@dataclass(frozen=True)
class Described:
    """A picture as the network sees it."""

    features: Sequence[Tensor]
    alpha: Float[Tensor, "1 1 h w"]


class FeatureMetrics:
    """EfficientNet-Lite0's two distances; the network is loaded once.

    Raises:
        HumanRefError: ``missing_package``, ``weights_unreadable``.
    """

    def __init__(self, network: EfficientNetLite0 | None = None) -> None:
        self._network = network or load_efficientnet_lite0()

    def __call__(
        self,
        ours: Float[np.ndarray, "h w 3"],
        truth: Float[np.ndarray, "h w 3"],
        our_alpha: Float[np.ndarray, "h w"],
        true_alpha: Float[np.ndarray, "h w"],
    ) -> dict[str, float]:
        """:meth:`compare` of two pictures and their silhouettes."""
        return self.compare(self.describe(ours, our_alpha), self.describe(truth, true_alpha))

    def describe(
        self, picture: Float[np.ndarray, "h w 3"], alpha: Float[np.ndarray, "h w"]
    ) -> Described:
        """What the network makes of a picture; most of the work, and the truth needs it but once."""
        with torch.no_grad():
            return Described(self._network(as_batch(picture)), as_batch(alpha[..., None]))

    def compare(self, ours: Described, truth: Described) -> dict[str, float]:
        """``perceptual`` (Zhang et al. 2018 without learned weights) of whole crops, and
        ``contextual`` of the places inside each one's silhouette."""
        first, second = ours.features, truth.features
        with torch.no_grad():
            return {
                "perceptual": float(feature_distance(first, second)),
                "contextual": _mean_contextual(first, second, [ours.alpha, truth.alpha]),
            }


def _mean_contextual(
    first: Sequence[Tensor], second: Sequence[Tensor], alphas: Sequence[Tensor]
) -> float:
    found = [
        contextual_distance(inside(first[s], alphas[0]), inside(second[s], alphas[1]))
        for s in _CONTEXTUAL_SCALES
    ]
    return sum(found) / len(found)

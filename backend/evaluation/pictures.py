"""Distances of two pictures that need no network."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

_MARGIN = 0.04
_SSIM_SIGMA, _SSIM_RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2
PSNR_CAP = 60.0
"""Decibels given for pictures that are equal, so that means stay finite."""


@dataclass(frozen=True)
class Box:
    """Rows and columns of a picture, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """That part of a picture."""
        return picture[self.top : self.bottom, self.left : self.right]


def foreground_box(silhouette: Bool[np.ndarray, "h w"]) -> Box:
    """The box around a silhouette, a few percent larger. It must not be empty."""
    rows, columns = np.nonzero(silhouette)
    pad = 1 + int(_MARGIN * max(np.ptp(rows), np.ptp(columns)))
    height, width = silhouette.shape
    return Box(
        max(0, int(rows.min()) - pad),
        min(height, int(rows.max()) + pad + 1),
        max(0, int(columns.min()) - pad),
        min(width, int(columns.max()) + pad + 1),
    )


def psnr(first: Float[np.ndarray, "h w 3"], second: Float[np.ndarray, "h w 3"]) -> float:
    """Peak signal to noise, dB, for values in [0, 1]; at most :data:`PSNR_CAP`."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    if error <= 10 ** (-PSNR_CAP / 10):
        return PSNR_CAP
    return float(-10.0 * np.log10(error))


def ssim(first: Float[np.ndarray, "h w 3"], second: Float[np.ndarray, "h w 3"]) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian windows of sigma 1.5, mean over channels and
    over the pixels whose window lies inside the picture; values in [0, 1]."""

    def blur(picture: np.ndarray) -> np.ndarray:
        size = 2 * _SSIM_RADIUS + 1
        blurred: np.ndarray = cv2.GaussianBlur(picture, (size, size), _SSIM_SIGMA)
        return blurred

    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    both = blur(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * both + _C2) / (var_a + var_b + _C2)
    r = _SSIM_RADIUS
    return float((light * structure)[r:-r, r:-r].mean())


def silhouette_iou(first: Float[np.ndarray, "h w"], second: Float[np.ndarray, "h w"]) -> float:
    """Intersection over union of two alphas cut at one half; 1 when both are empty."""
    a, b = first >= 0.5, second >= 0.5
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def angle_between(
    first: Float[np.ndarray, "h w 3"],
    second: Float[np.ndarray, "h w 3"],
    where: Bool[np.ndarray, "h w"],
) -> float:
    """Mean angle of two maps of unit normals, degrees; NaN where ``where`` is empty."""
    if not where.any():
        return float("nan")
    cosine = np.clip((first[where] * second[where]).sum(-1), -1.0, 1.0)
    return float(np.degrees(np.arccos(cosine)).mean())

"""What a real photo and a real silhouette do to a clean picture: augmentation, numpy and OpenCV only."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Float32


@dataclass(frozen=True)
class Backdrop:
    """Something behind the person that a wrong silhouette lets through."""

    corners: Float32[np.ndarray, "k k 3"]
    """sRGB of a coarse grid that is blown up to the picture."""

    @staticmethod
    def sample(rng: np.random.Generator) -> Backdrop:
        """Plain, sloping or patchy, of any brightness."""
        k = int(rng.choice([1, 2, 3, 8]))
        middle = rng.uniform(0.05, 0.95) + rng.normal(0.0, 0.08, 3)
        spread = rng.uniform(0.0, 0.35)
        colors = middle + rng.normal(0.0, spread, (k, k, 1)) + rng.normal(0.0, 0.06, (k, k, 3))
        return Backdrop(np.clip(colors, 0.0, 1.0).astype(np.float32))

    def draw(self, size: int) -> Float32[np.ndarray, "n n 3"]:
        """The backdrop at ``size`` pixels."""
        drawn = cv2.resize(self.corners, (size, size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(drawn, np.float32)


def spoil_mask(
    alpha: Float32[np.ndarray, "n n"], rng: np.random.Generator
) -> Float32[np.ndarray, "n n"]:
    """A silhouette too wide, too narrow or wavy by a pixel or two of 256, at times with a bite out of it."""
    n = len(alpha)
    pixel = n / 256.0
    if rng.random() < 0.25:
        return alpha.copy()
    soft = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(1.0, 2.5)) * pixel)
    waves = cv2.resize(
        rng.normal(0.0, 1.0, (24, 24)).astype(np.float32), (n, n), interpolation=cv2.INTER_CUBIC
    )
    level = 0.5 + rng.uniform(-0.3, 0.3) + rng.uniform(0.0, 0.2) * waves
    mask = np.clip((soft - level) * rng.uniform(1.5, 4.0) + 0.5, 0.0, 1.0)
    if rng.random() < 0.08:
        rows, columns = np.nonzero(alpha > 0.5)
        k = int(rng.integers(len(rows)))
        radii = (rng.uniform(3.0, 14.0, 2) * pixel).astype(int) + 1
        bite = np.zeros((n, n), np.uint8)
        center = (int(columns[k]), int(rows[k]))
        cv2.ellipse(bite, center, (int(radii[0]), int(radii[1])), 0.0, 0.0, 360.0, 1, -1)
        mask[bite > 0] = 0.0
    return np.asarray(mask, np.float32)


def spoil_colors(
    photo: Float[np.ndarray, "n n 3"], rng: np.random.Generator
) -> Float32[np.ndarray, "n n 3"]:
    """Another exposure, tint, contrast and light, blur, noise and JPEG; values stay in [0, 1]."""
    n = len(photo)
    out = np.asarray(photo, np.float32)
    if rng.random() < 0.8:
        gain = np.exp(rng.normal(0.0, 0.22) + rng.normal(0.0, 0.08, 3)).astype(np.float32)
        out = np.clip(out * gain, 0.0, 1.0) ** np.float32(np.exp(rng.normal(0.0, 0.2)))
        contrast, shift = np.exp(rng.normal(0.0, 0.15)), rng.normal(0.0, 0.04)
        out = np.clip((out - 0.5) * np.float32(contrast) + np.float32(0.5 + shift), 0.0, 1.0)
    if rng.random() < 0.4:
        # A lamp at the side or above: one end of the picture is darker.
        slope = rng.normal(0.0, 0.25, 2)
        t = np.linspace(-1.0, 1.0, n)
        light = 1.0 + slope[0] * t[:, None] + slope[1] * t
        out = np.clip(out * np.clip(light, 0.4, 1.6)[..., None].astype(np.float32), 0.0, 1.0)
    if rng.random() < 0.3:
        grey = out.mean(-1, keepdims=True)
        out = np.clip(grey + (out - grey) * np.float32(rng.choice([0.0, 0.5, 1.4])), 0.0, 1.0)
    if rng.random() < 0.35:
        soft = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.3)) * n / 256.0)
        out = np.asarray(soft, np.float32)
    if rng.random() < 0.5:
        noise = rng.standard_normal((n, n, 3), np.float32)
        out = out + noise * np.float32(rng.uniform(0.0, 0.035))
    out = np.clip(out, 0.0, 1.0)
    if rng.random() < 0.3:
        levels = (out * 255.0).round().astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        _, packed = cv2.imencode(".jpg", levels, quality)
        out = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.float32) / np.float32(255.0)
    return np.asarray(out, np.float32)

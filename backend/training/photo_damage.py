"""What separates a real photo from a rendered one: light, lenses, compression, a cut-out not quite exact."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

_GREY = 0.5


@dataclass(frozen=True)
class Tone:
    """How a person's colours are changed, the same in all views."""

    gamma: float
    gain: Float[np.ndarray, "3"]
    order: tuple[int, ...]
    """Which channel each channel takes: other colours of the same cloth."""
    saturation: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Tone:
        """Most people keep their hues; skin is learned from those."""
        order = tuple(rng.permutation(3)) if rng.random() < 0.3 else (0, 1, 2)
        return Tone(
            gamma=float(np.exp(rng.normal(0.0, 0.22))),
            gain=np.exp(rng.normal(0.0, 0.06, 3)),
            order=tuple(int(k) for k in order),
            saturation=float(np.clip(rng.normal(1.0, 0.2), 0.3, 1.7)),
        )

    def on(self, rgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Changed colours in [0, 1]."""
        turned = np.power(rgb[..., self.order], np.float32(self.gamma)) * self.gain
        grey = turned.mean(-1, keepdims=True)
        return np.asarray((grey + (turned - grey) * self.saturation).clip(0, 1), rgb.dtype)


def over_grey(rgba: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 3"]:
    """Straight colours over the plain grey that the prior always sees."""
    share = rgba[..., 3:]
    return np.asarray(rgba[..., :3] * share + _GREY * (1.0 - share))


def damaged(
    rgba: Float[np.ndarray, "n n 4"], rng: np.random.Generator
) -> Float[np.ndarray, "n n 3"]:
    """The photo as cut out of a real picture, over grey: other light, soft, noisy, compressed."""
    rgb, alpha = rgba[..., :3].copy(), rgba[..., 3].copy()
    if rng.random() < 0.5:
        # A rim of whatever stood behind the person.
        behind = rng.uniform(0.0, 1.0, 3).astype(rgb.dtype)
        core = cv2.erode((alpha > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
        wide = cv2.dilate((alpha > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
        rgb = np.where((core > 0)[..., None], rgb, 0.5 * rgb + 0.5 * behind).astype(rgb.dtype)
        alpha = np.where(wide > 0, np.maximum(alpha, 0.5 * rng.random()), alpha).astype(rgb.dtype)
    elif rng.random() < 0.4:
        kernel = np.ones((2, 2), np.uint8)
        alpha = alpha * cv2.erode((alpha > 0.5).astype(np.uint8), kernel).astype(rgb.dtype)
    if rng.random() < 0.4:
        # Light that falls from one side.
        n = rgb.shape[0]
        y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n - 0.5
        angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.5)
        rgb = rgb * (1.0 + depth * (np.cos(angle) * x + np.sin(angle) * y))[..., None]
    picture = over_grey(np.concatenate([rgb, alpha[..., None]], -1)).astype(np.float32)
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 0.9)))
        picture = np.asarray(soft, np.float32)
    if rng.random() < 0.4:
        noise = rng.normal(0.0, rng.uniform(0.0, 0.03), picture.shape)
        picture = picture + noise.astype(np.float32) * alpha[..., None]
    picture = picture.clip(0, 1)
    if rng.random() < 0.4:
        quality = int(rng.integers(40, 95))
        whole = (picture * 255.0).round().astype(np.uint8)
        ok, code = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert ok
        again = cv2.imdecode(code, cv2.IMREAD_COLOR)
        assert again is not None
        picture = again.astype(np.float32) / np.float32(255.0)
    return np.asarray(picture)

"""Procedural cloth: a colour and a bump for every point of a garment, from its place on the rest body.

Families of patterns are split between training and validation like outfits and hair are; plain cloth is
worn in both, in colours of its own.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

PLAIN = "plain"
FAMILIES = (
    "stripes_across",
    "stripes_down",
    "checks",
    "blotches",
    "dots",
    "two_tone",
    "zigzag",
    "diamonds",
    "heather",
)


@dataclass(frozen=True)
class Fabric:
    """One cloth. Lengths in metres, colours sRGB in [0, 1]."""

    family: str
    colors: Float[np.ndarray, "3 3"]
    """Ground, pattern, print."""
    period: float
    duty: float
    phase: float
    strength: float
    waves: Float[np.ndarray, "6 3"]
    """Directions times angular frequencies (rad/m) of its random unevenness."""
    print_box: Float[np.ndarray, "4"] | None
    """A print on the chest: centre x, centre y, half width, half height; None without."""
    print_kind: int
    relief: float
    """Strength of folds in the shading, 0 none."""

    def color(
        self, place: Float[np.ndarray, "n 3"], across: Float[np.ndarray, "n"]
    ) -> Float[np.ndarray, "n 3"]:
        """sRGB at rest-pose points; ``across`` is the length around the limb (metres)."""
        ground, pattern, mark = self.colors
        amount = self._amount(across / self.period + self.phase, place) * self.strength
        color = ground + amount[:, None] * (pattern - ground)
        if self.print_box is not None:
            x, y, w, h = self.print_box
            d = np.stack([(place[:, 0] - x) / w, (place[:, 1] - y) / h], 1)
            reach = (np.abs(d).max(1), np.hypot(d[:, 0], d[:, 1]), np.abs(d).sum(1))
            inside = (reach[self.print_kind] < 1.0) & (place[:, 2] > 0.0)
            color = np.where(inside[:, None], mark, color)
        worn = 1.0 + 0.03 * np.sin(place @ self.waves[3:].T * 0.2).sum(1, keepdims=True)
        return np.clip(color * worn, 0.0, 1.0)

    def fold_slope(self, place: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """What folds add to the normal: the gradient of a few waves, mostly sideways creases."""
        phase = place @ self.waves[:3].T
        return np.asarray(self.relief * np.cos(phase) @ (self.waves[:3] / 40.0))

    def _amount(
        self, u: Float[np.ndarray, "n"], place: Float[np.ndarray, "n 3"]
    ) -> Float[np.ndarray, "n"]:
        """How much of the pattern's colour, 0 to 1; ``u`` counts periods around, ``v`` upwards."""
        v = place[:, 1] / self.period
        down, over = (u % 1.0) < self.duty, (v % 1.0) < self.duty
        if self.family == "stripes_across":
            return over * 1.0
        if self.family == "stripes_down":
            return down * 1.0
        if self.family == "checks":
            return 0.5 * down + 0.5 * over
        if self.family == "blotches":
            return (np.sin(place @ self.waves[:3].T * 1.5).sum(1) > 0.4) * 1.0
        if self.family == "dots":
            row = np.floor(v)
            return (np.hypot((u + 0.5 * row) % 1.0 - 0.5, v % 1.0 - 0.5) < 0.6 * self.duty) * 1.0
        if self.family == "two_tone":
            return (place[:, 1] < 0.9 + 0.5 * self.phase) * 1.0
        if self.family == "zigzag":
            return ((v + np.abs(u % 1.0 - 0.5)) % 1.0 < self.duty) * 1.0
        if self.family == "diamonds":
            return (np.abs(u % 1.0 - 0.5) + np.abs(v % 1.0 - 0.5) < self.duty) * 1.0
        if self.family == "heather":
            return 0.5 + 0.25 * np.sin(place @ self.waves.T * 9.0).sum(1).clip(-2.0, 2.0)
        return np.zeros(len(u))


def sample_fabric(rng: np.random.Generator, families: tuple[str, ...], relief: float) -> Fabric:
    """Draw a cloth: nearly half of all are plain, the others of one of ``families``."""
    plain = rng.random() < 0.45
    upright = rng.normal(size=(6, 3)) * np.array([1.0, 0.55, 1.0])
    waves = upright / np.linalg.norm(upright, axis=1, keepdims=True) * rng.uniform(25, 75, (6, 1))
    box = None
    if rng.random() < 0.2:
        box = np.array([rng.normal(0, 0.02), rng.uniform(1.15, 1.35), *rng.uniform(0.04, 0.11, 2)])
    return Fabric(
        family=PLAIN if plain else str(rng.choice(families)),
        colors=np.stack([cloth_color(rng) for _ in range(3)]),
        period=float(rng.uniform(0.035, 0.14)),
        duty=float(rng.uniform(0.25, 0.6)),
        phase=float(rng.random()),
        strength=float(rng.uniform(0.5, 1.0)),
        waves=waves,
        print_box=box,
        print_kind=int(rng.integers(3)),
        relief=relief * float(rng.uniform(0.4, 1.2)),
    )


def cloth_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """sRGB as wardrobes have them: a quarter dark, a fifth light, muted more often than bright."""
    kind = rng.random()
    if kind < 0.24:
        color = np.full(3, rng.uniform(0.05, 0.25)) + rng.normal(0.0, 0.015, 3)
    elif kind < 0.44:
        color = np.full(3, rng.uniform(0.62, 0.95)) + rng.normal(0.0, 0.02, 3)
    else:
        saturation = rng.beta(2.0, 2.5)
        color = np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.2, 0.9)))
    return np.clip(color, 0.02, 0.98)

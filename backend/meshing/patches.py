"""Holes of a picture filled with patches of the rest, from coarse to fine (Wexler et al. 2007).

Unlike a mean or a small network's picture, patches are as sharp as what they come from: a fabric goes on
as the same fabric. What stands in the hole at first says which tones are wanted there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

from backend.meshing.patch_kernels import RADIUS, search, vote

# Coarser pictures than this (the shorter side, pixels) say nothing any more.
_COARSEST, _LEVELS = 24, 4
# Pixels over which tones are means.
_TONE = 3.0
# Times that patches are found and laid: while the picture is coarse, and at its own size.
_COARSE_TURNS, _FINE_TURNS, _ROUNDS = 6, 3, 4
_FEWEST = 30


@dataclass(frozen=True)
class Canvas:
    """A picture with a hole."""

    rgb: Float[np.ndarray, "h w 3"]
    """sRGB in [0, 1]; in the hole a first guess, whose tones are kept and whose detail is not."""
    hole: Bool[np.ndarray, "h w"]
    source: Bool[np.ndarray, "h w"]
    """Patches may be taken that lie in here as a whole; outside the hole."""
    part: UInt8[np.ndarray, "h w"]
    """Which limb; patches of another one are dear."""
    along: Float[np.ndarray, "h w"]
    """Where along the limb, pixels; patches from elsewhere are dear."""


def fill(canvas: Canvas, seed: int = 0) -> Float32[np.ndarray, "h w 3"]:
    """The picture with its hole filled; the same where there are hardly any patches to take."""
    person = canvas.hole | canvas.source
    levels = [_Level.of(canvas, mean_inside(canvas.rgb, person, _TONE))]
    while len(levels) < _LEVELS and min(levels[-1].hole.shape) >= 2 * _COARSEST:
        levels.append(levels[-1].halved())
    rng = np.random.default_rng(seed)
    current: np.ndarray | None = None
    nearest: np.ndarray | None = None
    for number, level in reversed(list(enumerate(levels))):
        allowed, reaches = _whole(level.source), _inner(_dilated(level.hole, RADIUS - 1))
        if allowed.sum() < _FEWEST or not reaches.any():
            continue
        guess = level.rgb.copy()
        if current is not None:
            shape = level.hole.shape[::-1]
            finer = cv2.resize(current, shape, interpolation=cv2.INTER_CUBIC)
            guess[level.hole] = finer[level.hole]
        turns = _FINE_TURNS if number == 0 else _COARSE_TURNS
        current, nearest = _painted(level, guess, allowed, reaches, nearest, turns, rng)
    if current is None or current.shape != canvas.rgb.shape:
        return canvas.rgb.astype(np.float32)
    return np.clip(current, 0.0, 1.0).astype(np.float32)


@dataclass(frozen=True)
class _Level:
    """The canvas at one size, with the tones of the first guess."""

    rgb: Float64[np.ndarray, "h w 3"]
    hole: Bool[np.ndarray, "h w"]
    source: Bool[np.ndarray, "h w"]
    part: UInt8[np.ndarray, "h w"]
    along: Float64[np.ndarray, "h w"]
    tone: Float64[np.ndarray, "h w 3"]

    @staticmethod
    def of(canvas: Canvas, tone: np.ndarray) -> _Level:
        along = canvas.along.astype(np.float64)
        rgb = canvas.rgb.astype(np.float64)
        return _Level(rgb, canvas.hole, canvas.source, canvas.part, along, tone)

    def halved(self) -> _Level:
        size = (self.hole.shape[1] // 2, self.hole.shape[0] // 2)

        def mean(picture: np.ndarray) -> np.ndarray:
            return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))

        def nearest(labels: np.ndarray) -> np.ndarray:
            return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST))

        return _Level(
            mean(self.rgb),
            mean(self.hole.astype(np.float32)) > 0.0,
            mean(self.source.astype(np.float32)) > 0.98,
            nearest(self.part),
            nearest(self.along),
            mean(self.tone),
        )


def _painted(
    level: _Level,
    guess: Float64[np.ndarray, "h w 3"],
    allowed: Bool[np.ndarray, "h w"],
    reaches: Bool[np.ndarray, "h w"],
    coarser: np.ndarray | None,
    turns: int,
    rng: np.random.Generator,
) -> tuple[Float64[np.ndarray, "h w 3"], np.ndarray]:
    """The level's picture, and the patches it was laid from; ``reaches`` are centres that touch the hole."""
    targets = np.argwhere(reaches)
    nearest = _first_patches(targets, reaches, allowed, coarser, rng)
    current = guess
    for _ in range(turns):
        cost = np.full(level.hole.shape, np.inf)
        search(
            *(level.rgb, current, level.tone, level.along, level.part),
            *(targets, allowed, nearest, cost, _ROUNDS, rng),
        )
        softness = max(float(np.median(cost[reaches])), 1e-5)
        total = vote(level.rgb, targets, nearest, cost, softness, level.hole)
        told = level.hole & (total[..., 3] > 0.0)
        current[told] = total[told, :3] / total[told, 3:]
    return current, nearest


def _first_patches(
    targets: np.ndarray,
    reaches: np.ndarray,
    allowed: np.ndarray,
    coarser: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Any patch for each target, or those of a picture half the size."""
    shape = allowed.shape
    nearest = np.zeros((*shape, 2), np.int64)
    centres = np.argwhere(allowed)
    drawn = rng.integers(0, len(centres), len(targets))
    nearest[targets[:, 0], targets[:, 1]] = centres[drawn]
    if coarser is not None:
        grid = np.indices(shape).transpose(1, 2, 0)
        half = np.minimum(grid // 2, np.array(coarser.shape[:2]) - 1)
        before = coarser[half[..., 0], half[..., 1]]
        found = np.minimum(2 * before + grid % 2, np.array(shape) - 1)
        use = reaches & (before.sum(-1) > 0) & allowed[found[..., 0], found[..., 1]]
        nearest[use] = found[use]
    return nearest


def mean_inside(
    values: Float[np.ndarray, "h w c"], inside: Bool[np.ndarray, "h w"], width: float
) -> Float64[np.ndarray, "h w c"]:
    """Means under a Gaussian of ``width`` pixels, of what is inside alone; zero far from it."""
    member = inside.astype(np.float64)
    cover = cv2.GaussianBlur(member, (0, 0), width)[..., None]
    blurred = cv2.GaussianBlur(values.astype(np.float64) * member[..., None], (0, 0), width)
    means: np.ndarray = blurred.reshape(values.shape) / (cover + 1e-4)
    return means


def detail_strength(
    picture: Float[np.ndarray, "h w 3"],
    inside: Bool[np.ndarray, "h w"],
    widths: tuple[float, float],
    around: float,
) -> Float64[np.ndarray, "h w"]:
    """Root mean square, over ``around`` pixels, of details between two widths (pixels), channels summed."""
    fine, coarse = (mean_inside(picture, inside, width) for width in widths)
    energy = ((fine - coarse) ** 2).sum(-1, keepdims=True)
    strength: np.ndarray = np.sqrt(mean_inside(energy, inside, around))[..., 0]
    return strength


def _whole(source: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Centres of patches that lie in ``source``."""
    square = np.ones((2 * RADIUS + 1,) * 2, np.uint8)
    return _inner(cv2.erode(source.astype(np.uint8), square, borderValue=0) > 0)


def _dilated(mask: Bool[np.ndarray, "h w"], reach: int) -> Bool[np.ndarray, "h w"]:
    square = np.ones((2 * reach + 1,) * 2, np.uint8)
    grown: np.ndarray = cv2.dilate(mask.astype(np.uint8), square) > 0
    return grown


def _inner(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Without what lies nearer to the edge of the picture than a patch reaches."""
    kept = np.zeros_like(mask)
    inside = np.s_[RADIUS:-RADIUS, RADIUS:-RADIUS]
    kept[inside] = mask[inside]
    return kept

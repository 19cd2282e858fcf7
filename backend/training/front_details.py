"""What only the front of clothes has: openings, zips, buttons, prints, ties, aprons.

Most garments of the wardrobe look from behind as they do in front, so a network that learns from them
alone carries an open jacket to the back. Details are painted in canonical places
(:mod:`backend.body.canonical`), thus in every view at the same place of the body, in none from behind.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from backend.body.model import Region
from backend.training.prior_store import Views

# The trunk's front in canonical places: x and y that a sheet of details covers, and the depth it starts
# at (measured on the mean body: chest and belly .09, back -.11, chest below the neck .04).
_HALF_WIDTH = 0.21
_LOW, _HIGH = 0.05, 0.66
_DEPTH_LOW, _DEPTH_HIGH, _NECK = 0.0, -0.03, 0.5
_CELLS_A_UNIT = 500
_SIZE = (round((_HIGH - _LOW) * _CELLS_A_UNIT), round(2 * _HALF_WIDTH * _CELLS_A_UNIT))
_LETTERS = "ABEHKMNRSTXZ0123456789"
Sheet = UInt8[np.ndarray, "h w 4"]


def with_front_details(views: Views, rng: np.random.Generator) -> Views:
    """The same person with one to three details on the trunk's front, in all views."""
    sheet = np.zeros((*_SIZE, 4), np.uint8)
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        draw = _KINDS[int(rng.choice(len(_KINDS), p=_CHANCES))]
        draw(sheet, rng)
    canonical = _smooth(views)
    x = ((canonical[..., 0] + _HALF_WIDTH) * _CELLS_A_UNIT).astype(np.float32)
    y = ((_HIGH - canonical[..., 1]) * _CELLS_A_UNIT).astype(np.float32)
    found = np.stack(
        [cv2.remap(sheet, a, b, cv2.INTER_AREA) for a, b in zip(x, y, strict=True)]
    ).astype(np.float32) / np.float32(255.0)
    share = found[..., 3:] * _is_trunk_front(views)[..., None]
    color = views.color.copy()
    # Folds and shadows stay: the details are as dark as the cloth is against its own mean.
    light = color[..., :3].mean(-1, keepdims=True)
    upper = (views.region == Region.UPPER) & (color[..., 3] > 0.5)
    middle = float(light[upper].mean()) if upper.any() else 0.5
    shade = np.clip(light / max(middle, 0.05), 0.5, 1.3)
    color[..., :3] += (found[..., :3] * shade - color[..., :3]).clip(-1, 1) * share
    return replace(views, color=color.clip(0.0, 1.0))


def _smooth(views: Views) -> Float[np.ndarray, "v n n 3"]:
    """Canonical places without the steps of the body's pixels, so that edges are straight."""
    near = views.near.astype(np.float32)
    total = np.stack([cv2.blur(a, (3, 3)) for a in (views.canonical * near[..., None])])
    count = np.stack([cv2.blur(a, (3, 3)) for a in near])
    return np.asarray(total / np.maximum(count, 1e-3)[..., None])


def _is_trunk_front(views: Views) -> Bool[np.ndarray, "v n n"]:
    x, y, z = (views.canonical[..., k] for k in range(3))
    deep = np.where(y > _NECK, _DEPTH_HIGH, _DEPTH_LOW)
    inside = (np.abs(x) < _HALF_WIDTH) & (y > _LOW) & (y < _HIGH) & (z > deep)
    trunk = (views.region == Region.UPPER) | (views.region == Region.LOWER)
    return np.asarray(inside & trunk & (views.near > 0))


def _column(x: float) -> int:
    return round((x + _HALF_WIDTH) * _CELLS_A_UNIT)


def _row(y: float) -> int:
    return round((_HIGH - y) * _CELLS_A_UNIT)


def _ink(color: Float[np.ndarray, "3"]) -> tuple[float, ...]:
    """An opaque colour as OpenCV draws it."""
    return (*(color.clip(0.0, 1.0) * 255.0).round().tolist(), 255.0)


def _color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """Any colour; half of all are dark, white or grey."""
    if rng.random() < 0.5:
        return np.asarray(np.full(3, rng.choice([0.08, 0.3, 0.6, 0.92])) + rng.normal(0, 0.03, 3))
    return np.asarray(rng.uniform(0.05, 0.95, 3))


def _fill(sheet: Sheet, corners: Float[np.ndarray, "k 2"], color: Float[np.ndarray, "3"]) -> None:
    """A polygon of canonical x, y."""
    cells = np.array([[_column(x), _row(y)] for x, y in corners], np.int32)
    cv2.fillPoly(sheet, [cells], _ink(color), cv2.LINE_AA)


def _opening(sheet: Sheet, rng: np.random.Generator) -> None:
    """A jacket or shirt left open: what is worn under it, or skin, with a darker seam."""
    top, low = 0.64, float(rng.uniform(0.05, 0.45))
    at_top, at_low = rng.uniform(0.012, 0.09), rng.uniform(0.0, 0.10)
    lean = float(rng.normal(0.0, 0.01))
    skin = np.array([0.8, 0.6, 0.5]) * rng.uniform(0.35, 1.1)
    color = skin if rng.random() < 0.4 else _color(rng)
    rim = 0.008 + 0.02 * float(rng.random())
    for more, tone in ((rim, _color(rng)), (0.0, color)):
        _fill(
            sheet,
            np.array(
                [
                    (-at_top - more, top),
                    (at_top + more, top),
                    (lean + at_low + more, low),
                    (lean - at_low - more, low),
                ]
            ),
            tone,
        )


def _tie(sheet: Sheet, rng: np.random.Generator) -> None:
    wide, low = float(rng.uniform(0.012, 0.03)), float(rng.uniform(0.2, 0.4))
    corners = [(-0.4 * wide, 0.6), (0.4 * wide, 0.6), (wide, low), (0, low - wide), (-wide, low)]
    _fill(sheet, np.array(corners), _color(rng))


def _buttons(sheet: Sheet, rng: np.random.Generator) -> None:
    """A zip, or buttons, with or without the strip they sit on."""
    low, color = float(rng.uniform(0.05, 0.35)), _color(rng)
    if rng.random() < 0.5:
        wide = float(rng.uniform(0.004, 0.02))
        _fill(sheet, np.array([(-wide, 0.6), (wide, 0.6), (wide, low), (-wide, low)]), color)
    if rng.random() < 0.6:
        radius, tone = max(2, round(rng.uniform(0.005, 0.013) * _CELLS_A_UNIT)), _color(rng)
        for y in np.arange(low + 0.02, 0.58, float(rng.uniform(0.05, 0.1))):
            center = (_column(0.0), _row(float(y)))
            cv2.circle(sheet, center, radius, _ink(tone), cv2.FILLED, cv2.LINE_AA)


def _print(sheet: Sheet, rng: np.random.Generator) -> None:
    """A badge, a picture of some blots, or letters."""
    x, y = float(rng.uniform(-0.1, 0.1)), float(rng.uniform(0.22, 0.5))
    half = float(np.exp(rng.uniform(np.log(0.02), np.log(0.12))))
    size = (round(half * _CELLS_A_UNIT), round(half * rng.uniform(0.5, 1.2) * _CELLS_A_UNIT))
    center, kind = (_column(x), _row(y)), rng.random()
    if kind < 0.3:
        tone = _ink(_color(rng))
        cv2.ellipse(sheet, center, size, 0.0, 0.0, 360.0, tone, cv2.FILLED, cv2.LINE_AA)
    elif kind < 0.5:
        _fill(
            sheet,
            np.array(
                [
                    (x - half, y - half),
                    (x + half, y - half),
                    (x + half, y + half),
                    (x - half, y + half),
                ]
            ),
            _color(rng),
        )
    elif kind < 0.8:
        word = "".join(rng.choice(list(_LETTERS), int(rng.integers(2, 7))))
        scale, thick = 0.05 * size[0] / len(word) * 1.6, max(1, size[0] // 12)
        tone = _ink(_color(rng))
        start = (center[0] - size[0], center[1] + size[1] // 3)
        cv2.putText(sheet, word, start, cv2.FONT_HERSHEY_SIMPLEX, scale, tone, thick, cv2.LINE_AA)
    else:
        for _ in range(int(rng.integers(3, 9))):
            at = (
                center[0] + round(rng.normal(0, size[0] / 2)),
                center[1] + round(rng.normal(0, size[1] / 2)),
            )
            radii = (
                max(1, round(size[0] * rng.uniform(0.15, 0.6))),
                max(1, round(size[1] * rng.uniform(0.15, 0.6))),
            )
            tone = _ink(_color(rng))
            turn = float(rng.uniform(0, 180))
            cv2.ellipse(sheet, at, radii, turn, 0.0, 360.0, tone, cv2.FILLED, cv2.LINE_AA)


def _apron(sheet: Sheet, rng: np.random.Generator) -> None:
    """A panel of another cloth."""
    half, top, low = rng.uniform(0.06, 0.15), rng.uniform(0.35, 0.6), rng.uniform(0.05, 0.25)
    narrow = half * rng.uniform(0.5, 1.0)
    _fill(sheet, np.array([(-narrow, top), (narrow, top), (half, low), (-half, low)]), _color(rng))


_KINDS = (_opening, _print, _buttons, _tie, _apron)
_CHANCES = (0.4, 0.3, 0.15, 0.05, 0.1)

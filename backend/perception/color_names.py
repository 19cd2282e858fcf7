"""Plain English names for the colour of clothes, hair and skin."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from backend.perception.cut_lines import srgb_to_lab

_MIN_CHROMA = 9.0
"""Below this CIE Lab chroma a cloth looks grey."""
_NEUTRALS = ((16.0, "black"), (38.0, "dark grey"), (62.0, "grey"), (84.0, "light grey"))
_HUES = (
    (10.0, "pink", "dark red", "red"),
    (40.0, "pink", "dark red", "red"),
    (68.0, "beige", "brown", "orange"),
    (98.0, "beige", "brown", "yellow"),
    (112.0, "pale yellow", "olive", "yellow"),
    (165.0, "pale green", "dark green", "green"),
    (215.0, "pale turquoise", "dark teal", "turquoise"),
    (300.0, "light blue", "dark blue", "blue"),
    (330.0, "lavender", "dark purple", "purple"),
    (360.0, "pink", "dark magenta", "magenta"),
)
"""Up to this Lab hue angle (degrees): name when light and soft, when dark, and when vivid."""


def color_name(color: Float[np.ndarray, "3"]) -> str:
    """The name of one sRGB colour in [0, 1]."""
    lightness, a, b = (float(v) for v in srgb_to_lab(color))
    chroma = float(np.hypot(a, b))
    if chroma < _MIN_CHROMA or lightness < 8.0:
        return _neutral(lightness)
    hue = float(np.degrees(np.arctan2(b, a)) % 360.0)
    soft, dark, vivid = next(names for limit, *names in _HUES if hue <= limit)
    if lightness < 32.0:
        return dark
    muted = chroma < 32.0
    if 40.0 < hue <= 98.0 and muted and lightness < 62.0:
        return "brown"
    if lightness > 62.0 and muted:
        return soft
    return vivid


def hair_name(color: Float[np.ndarray, "3"]) -> str:
    """Hair has its own words."""
    lightness, a, b = (float(v) for v in srgb_to_lab(color))
    if lightness < 22.0:
        return "black"
    if float(np.hypot(a, b)) < 7.0:
        return "grey" if lightness < 75.0 else "white"
    if lightness > 58.0:
        return "blond"
    if a > 16.0 and lightness > 28.0:
        return "red"
    return "brown"


def dominant_color(colors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"]:
    """The most common colour of a patch: median of its fullest lightness band.

    A plain median mixes a two-coloured garment into a third colour that it does not have.
    """
    colors = colors[:: max(1, len(colors) // 5000)]
    lab = srgb_to_lab(colors)
    bins = np.clip((lab[:, 0] / 12.5).astype(int), 0, 7)
    counts = np.bincount(bins, minlength=8).astype(np.float64)
    windows = counts[:-1] + counts[1:]
    first = int(windows.argmax())
    members = (bins == first) | (bins == first + 1)
    return np.asarray(np.median(colors[members], axis=0))


def lab_distance(one: Float[np.ndarray, "3"], other: Float[np.ndarray, "3"]) -> float:
    """Euclidean distance in CIE Lab (2 is just visible, 100 is black to white)."""
    return float(np.linalg.norm(srgb_to_lab(one) - srgb_to_lab(other)))


def _neutral(lightness: float) -> str:
    return next((name for limit, name in _NEUTRALS if lightness < limit), "white")

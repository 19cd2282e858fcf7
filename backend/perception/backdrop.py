"""Pictures whose background is one colour (renders, keyed photos) or already cut out.

Such a background is known exactly, so it is found by its colour instead of being guessed by a
network: dark trousers on a black backdrop differ from it by a few grey levels only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from backend.perception.subject import Photo

DETECTION_GREY = 0.5
"""What stands behind a cut-out person while landmarks are detected (sRGB).

Measured on a figure in black trousers: on grey, knees, ankles and hips land where they are; on the
black backdrop the ankles came out 1.3 % of the person's height too high.
"""

_BORDER_SHARE = 0.6
_MIN_AGREEMENT = 0.7
_MAX_NOISE = 6
_MIN_HARD_CONTRAST = 4
_SOFT_EDGE_SHARE = 0.05


@dataclass(frozen=True)
class Backdrop:
    """A uniform background.

    Attributes:
        empty: True where the picture shows nothing but the backdrop colour (holes included).
        color: sRGB, [0, 1].
        hard_cut: the foreground meets the backdrop in a step everywhere (no soft cast shadow), so
            that ``~empty`` is the silhouette itself.
    """

    empty: Bool[np.ndarray, "h w"]
    color: Float[np.ndarray, "3"]
    hard_cut: bool


def find_backdrop(photo: Photo) -> Backdrop | None:
    """The uniform backdrop of a photo, or None when the picture's border is not of one colour.

    Six tenths of the border must agree within the noise that the border itself shows (at most
    6/255): a person cut by the lower edge of the picture leaves the other edges to agree.
    """
    levels = np.round(photo.rgb * 255.0).astype(np.uint8)
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]]).astype(np.int16)
    color = np.median(border, axis=0).round().astype(np.int16)
    deviation = np.abs(border - color).max(-1)
    agreeing = deviation <= _MAX_NOISE
    if agreeing.mean() < _BORDER_SHARE:
        return None
    noise = int(np.percentile(deviation[agreeing], 99.5))
    difference = np.abs(levels.astype(np.int16) - color).max(-1)
    empty = difference <= noise
    if noise > 0:
        empty = _without_specks(empty)
    foreground = ~empty
    if not 0.005 < foreground.mean() < 0.95:
        return None
    inside_edge = foreground & (cv2.erode(foreground.astype(np.uint8), np.ones((3, 3))) == 0)
    faint = difference[inside_edge] <= noise + _MIN_HARD_CONTRAST
    hard_cut = bool(faint.mean() < _SOFT_EDGE_SHARE) if faint.size else False
    return Backdrop(empty, (color / 255.0).astype(np.float32), hard_cut)


def confirmed_by(backdrop: Backdrop, prior: Float[np.ndarray, "h w"]) -> Backdrop:
    """The backdrop, trusted as a cut-out only if what stands before it is the person found.

    A blank wall is of one colour too, but then floor and furniture stand before it as well: the
    foreground piece that holds the person must overlap the detector's mask by 0.7 (IoU).
    """
    foreground = ~backdrop.empty
    count, labels = cv2.connectedComponents(foreground.astype(np.uint8))
    held = np.bincount(labels.ravel(), prior.ravel().astype(np.float64), minlength=count)
    if count < 2:
        return replace(backdrop, hard_cut=False)
    piece, person = labels == 1 + int(held[1:].argmax()), prior > 0.5
    overlap = float((piece & person).sum()) / max(1, int((piece | person).sum()))
    return replace(backdrop, hard_cut=backdrop.hard_cut and overlap > _MIN_AGREEMENT)


def _without_specks(empty: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Backdrop with isolated noise pixels joined to it (foreground specks of under 12 px)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~empty).astype(np.uint8))
    small = np.zeros(count, bool)
    small[1:] = stats[1:, cv2.CC_STAT_AREA] < 12
    joined: np.ndarray = empty | small[labels]
    return joined


def detection_picture(photo: Photo, backdrop: Backdrop | None) -> UInt8[np.ndarray, "h w 3"]:
    """The photo as the detectors see it: uint8 sRGB, a known background replaced by mid grey."""
    rgb = photo.rgb
    if photo.matte is not None:
        alpha = photo.matte[..., None]
        rgb = rgb * alpha + np.float32(DETECTION_GREY) * (1.0 - alpha)
    elif backdrop is not None:
        rgb = np.where(backdrop.empty[..., None], np.float32(DETECTION_GREY), rgb)
    return np.ascontiguousarray(np.round(np.clip(rgb, 0.0, 1.0) * 255.0).astype(np.uint8))

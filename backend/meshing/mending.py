"""What a prior surely does not see on the back is taken out of its picture, and the cloth goes on there.

A small prior's picture is a blur: where it removes a print of the photo's front it leaves a pale spot.
Patches of the same limb, of the tone that it asks for, are as sharp as the cloth around.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from backend.meshing.limbs import SHAPED, LimbMaps
from backend.meshing.openings import opening
from backend.meshing.patches import Canvas, fill, mean_inside

# How far a picture must be followed for its place to be mended, and how little for patches to come from one.
_SURE, _UNTOUCHED = 0.6, 0.3
# Pixels: what is narrower is no hole; a hole grows so far; nothing comes from so near to the outline; over
# so many a hole's edge is blended; so wide are means of what is around.
_NARROW, _GROWS, _EDGE, _SOFT, _AROUND = 9, 6, 4.0, 3.0, 16.0
_FEWEST = 50


def mend(
    picture: Float[np.ndarray, "n n 3"],
    carried: Float[np.ndarray, "n n 3"],
    painted: Float[np.ndarray, "n n 3"],
    share: Float[np.ndarray, "n n"],
    cloth: Bool[np.ndarray, "n n"],
    limbs: LimbMaps,
    seed: int = 0,
) -> Float32[np.ndarray, "n n 3"]:
    """A picture of the back whose surely wrong places are filled with its own cloth.

    Args:
        picture: ``carried``, moved to ``painted`` as far as ``share`` says.
        carried: the photo.
        painted: a prior's picture.
        cloth: where the person is clothed and the photo knows of it.
        limbs: of the same view.
    """
    reach = cv2.distanceTransform(cloth.astype(np.uint8), cv2.DIST_L2, 5)
    flat = cloth & (limbs.part != SHAPED)
    sure = (flat & (share > _SURE) & (reach > _EDGE / 2)).astype(np.uint8)
    wide = cv2.morphologyEx(sure, cv2.MORPH_OPEN, np.ones((_NARROW,) * 2, np.uint8)) > 0
    wrong = (wide | opening(carried, painted, cloth, limbs)).astype(np.uint8)
    hole = (cv2.dilate(wrong, np.ones((2 * _GROWS + 1,) * 2, np.uint8)) > 0) & flat
    if hole.sum() < _FEWEST:
        return picture.astype(np.float32)
    believed = flat & (share < _UNTOUCHED) & (reach > _EDGE) & ~hole
    # A small prior is off by a tone; as much as it is around a hole it is within.
    offset = mean_inside(picture - painted, believed, _AROUND)
    canvas = Canvas(
        rgb=np.where(hole[..., None], np.clip(painted + offset, 0.0, 1.0), picture),
        hole=hole,
        source=believed,
        part=limbs.part,
        along=limbs.along,
    )
    weight = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), _SOFT) * hole
    return (picture + weight[..., None] * (fill(canvas, seed) - picture)).astype(np.float32)

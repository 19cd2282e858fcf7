"""Openings down the middle of a garment's front: a jacket's, a row of buttons. Its back has none.

A small prior's mean picture hardly tells: an opening is narrow, and it loses the details of every fabric.
But a fabric looks the same beside the middle as in it, and an opening does not.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from backend.meshing.limbs import TRUNK, LimbMaps
from backend.meshing.patches import detail_strength

# Metres from the body's middle: what is surely in it, how far an opening's edges reach, and what lies beside.
_MIDDLE, _REACH, _BESIDE = 0.03, 0.12, (0.07, 0.16)
# Details lie between these widths, their strength is a mean so wide; of 512 pixels a side.
_DETAIL, _AROUND = (1.5, 8.0), 3.0
# An opening has so many times the detail of what is beside it, at least so much (root mean square of sRGB),
# and a prediction keeps no more than this share of it. Set by eye on the example and 20 made people: open
# jackets had 1.6 to 4.5 times in most of their rows, patterned cloth .8 to 1.3 below the collar.
_TIMES, _LEAST, _KEPT = 1.5, 0.05, 0.3
# Share of the trunk's rows that must say so: one print is no opening.
_ROWS = 0.35
_FEWEST = 3


def opening(
    carried: Float[np.ndarray, "n n 3"],
    painted: Float[np.ndarray, "n n 3"],
    cloth: Bool[np.ndarray, "n n"],
    limbs: LimbMaps,
) -> Bool[np.ndarray, "n n"]:
    """Where a photo carried to the back shows an opening of the front; nowhere when it has none.

    Args:
        carried: the photo.
        painted: a prior's picture of the back, in the same place.
        cloth: where the person is clothed and the photo knows of it.
        limbs: of the same view.
    """
    trunk = cloth & (limbs.part == TRUNK)
    scale = len(carried) / 512.0
    widths = (_DETAIL[0] * scale, _DETAIL[1] * scale)
    own, left = (
        detail_strength(picture, cloth, widths, _AROUND * scale) for picture in (carried, painted)
    )
    middle = trunk & (limbs.across < _MIDDLE)
    beside = trunk & (limbs.across > _BESIDE[0]) & (limbs.across < _BESIDE[1])
    usual = np.full(len(trunk), np.nan)
    says = np.zeros(len(trunk), bool)
    asked = np.flatnonzero((middle.sum(1) >= _FEWEST) & (beside.sum(1) >= _FEWEST))
    for row in asked:
        usual[row] = np.median(own[row, beside[row]])
        here = own[row, middle[row]].mean()
        kept = left[row, middle[row]].mean() / max(here, 1e-6)
        says[row] = here > max(_TIMES * usual[row], _LEAST) and kept < _KEPT
    if not len(asked) or says[asked].mean() < _ROWS:
        return np.zeros_like(trunk)
    first, last = np.flatnonzero(says)[[0, -1]]
    rows = np.arange(len(trunk))
    between = ((rows >= first) & (rows <= last))[:, None]
    limit = np.maximum(_TIMES * np.nan_to_num(usual), _LEAST)[:, None]
    stands_out = trunk & (limbs.across < _REACH) & (own > limit)
    found: np.ndarray = (middle | stands_out) & between
    return found

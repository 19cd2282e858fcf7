"""Blender's axes and the body's: the only place that knows how they differ.

Body: metres, y up, the person faces +z, the person's left is +x. Blender: metres, z up, the person
faces -y, left still +x. One turns into the other by +90 degrees about x: (x, y, z) -> (x, -z, y).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLENDER_FROM_BODY: Final = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))
"""The rotation matrix of that turn."""


def blender_from_body(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points or vectors (..., 3) of the body's world in Blender's; same dtype."""
    turned = np.empty_like(points)
    turned[..., 0] = points[..., 0]
    np.negative(points[..., 2], out=turned[..., 1])
    turned[..., 2] = points[..., 1]
    return turned


def body_from_blender(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points or vectors (..., 3) of Blender's world in the body's; same dtype."""
    turned = np.empty_like(points)
    turned[..., 0] = points[..., 0]
    turned[..., 1] = points[..., 2]
    np.negative(points[..., 1], out=turned[..., 2])
    return turned

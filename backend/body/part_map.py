"""Which of the paper's four regions (3.1) each joint and each vertex of a body belongs to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from backend.body.model import Region
from shared_protocol.skeleton import JOINT_NAMES

_HEAD = ("neck", "head", "jaw", "eye")
_LOWER = ("pelvis", "hip", "knee")
_FEET = ("ankle", "foot")


def joint_region(name: str) -> Region:
    """Region of the flesh that a joint carries: head with neck, upper body with arms and hands,
    pelvis with legs down to the ankles, feet."""
    if any(word in name for word in _HEAD):
        return Region.HEAD
    if any(word in name for word in _LOWER):
        return Region.LOWER
    if any(word in name for word in _FEET):
        return Region.FEET
    return Region.UPPER


def joint_regions() -> UInt8[np.ndarray, "55"]:
    """:func:`joint_region` of every joint, in SMPL-X order."""
    return np.array([joint_region(name) for name in JOINT_NAMES], np.uint8)


def vertex_regions(skin_weights: Float[np.ndarray, "v 55"]) -> UInt8[np.ndarray, "v"]:
    """Region that carries most of each vertex."""
    of_joint = joint_regions()
    share = np.stack([skin_weights[:, of_joint == r].sum(1) for r in Region if r], 1)
    regions: UInt8[np.ndarray, "v"] = (share.argmax(1) + int(Region.HEAD)).astype(np.uint8)
    return regions

"""Ready poses as numbers, and which joints belong to each other. Axis-angle, radians, SMPL-X's frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS, PARENTS

PresetName = Literal["T", "A", "RELAXED"]
Side = Literal["left", "right"]
PRESETS: Final[tuple[PresetName, ...]] = ("T", "A", "RELAXED")

# The left side, degrees; the right side is its mirror image. A left arm points along +x at rest: a
# negative z lowers it, a negative y brings it forward; fingers curl with negative z.
_LEFT: Final[dict[str, dict[str, tuple[float, float, float]]]] = {
    "T": {},
    "A": {"collar": (0, 0, -5), "shoulder": (0, 0, -40)},
    "RELAXED": {
        "collar": (0, 0, -3),
        "shoulder": (12, 4, -71),
        "elbow": (0, -16, 0),
        "wrist": (0, 0, -4),
        "hip": (0, 6, 3),
        "knee": (3, 0, 0),
        **{
            f"{finger}{k}": (0, 0, -14) for finger in ("index", "middle", "ring") for k in (1, 2, 3)
        },
        **{f"pinky{k}": (0, 0, -17) for k in (1, 2, 3)},
        "thumb1": (0, 16, -6),
        "thumb2": (0, 8, -4),
        "thumb3": (0, 10, -4),
    },
}


def preset_pose(preset: PresetName) -> NDArray[np.float64]:
    """(55, 3); the pelvis is upright."""
    full_pose = np.zeros((N_JOINTS, 3))
    for part, degrees in _LEFT[preset].items():
        vector = np.radians(np.asarray(degrees, np.float64))
        full_pose[JOINT_INDEX[f"left_{part}"]] = vector
        full_pose[JOINT_INDEX[f"right_{part}"]] = mirrored_vectors(vector)
    return full_pose


def mirrored_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation vectors (..., 3) in the mirror of the plane x = 0: axes turn with it, senses against it."""
    return vectors * np.array([1.0, -1.0, -1.0])


def other_side(joint: str) -> str:
    """``left_knee`` for ``right_knee`` and the other way round; middle joints are their own."""
    if joint.startswith("left_"):
        return joint.replace("left_", "right_", 1)
    return joint.replace("right_", "left_", 1)


def descendants(joints: Iterable[str]) -> frozenset[str]:
    """The joints and all below them."""
    found = set(joints)
    # Parents come before children in the skeleton.
    for index, joint in enumerate(JOINT_NAMES):
        if PARENTS[index] >= 0 and JOINT_NAMES[PARENTS[index]] in found:
            found.add(joint)
    return frozenset(found)

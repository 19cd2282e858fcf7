"""Where the bones of 55 joints lie: tails towards the child, and rolls by which x bends.

Numbers only, in Blender's axes (metres, z up, the person faces -y, the person's left is +x).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS, PARENTS

_UP: Final = (0.0, 0.0, 1.0)
_DOWN: Final = (0.0, 0.0, -1.0)
_FORWARD: Final = (0.0, -1.0, 0.0)
_BACK: Final = (0.0, 1.0, 0.0)
_SHORTEST: Final = 1e-3

# The child that a bone with several children points to.
_MAIN_CHILD: Final = {
    "pelvis": "spine1",
    "spine3": "neck",
    "left_wrist": "left_middle1",
    "right_wrist": "right_middle1",
}
_ROLLED_UP: Final = ("ankle", "foot", "eye")
_ROLLED_DOWN: Final = ("jaw", "index", "middle", "pinky", "ring", "thumb")


@frozen(kw_only=True, eq=False)
class BoneLayout:
    """Rest bones in the order of the skeleton."""

    heads: NDArray[np.float64]
    """(55, 3)."""
    tails: NDArray[np.float64]
    """(55, 3)."""
    rolls: NDArray[np.float64]
    """(55, 3) vectors that the bones' z axes are turned to as far as they can."""
    connected: tuple[bool, ...]
    """Whether the head is the parent's tail."""


def main_child(joint: str) -> str | None:
    """The joint that the bone of ``joint`` ends in; None for the end of a chain and for the head."""
    if joint in _MAIN_CHILD:
        return _MAIN_CHILD[joint]
    index = JOINT_INDEX[joint]
    children = [JOINT_NAMES[child] for child in range(N_JOINTS) if PARENTS[child] == index]
    return children[0] if len(children) == 1 else None


def lay_out(joints: NDArray[np.floating]) -> BoneLayout:
    """Bones between joints (55, 3) of a T-pose; ends without a joint follow from proportions."""
    heads = np.asarray(joints, np.float64)
    tails = np.stack([_tail(name, heads) for name in JOINT_NAMES])
    short = np.linalg.norm(tails - heads, axis=1) < _SHORTEST
    # Blender drops a bone of no length when edit mode ends.
    tails[short] = heads[short] + np.asarray(_UP) * 0.02
    rolls = np.stack([np.asarray(_roll(name)) for name in JOINT_NAMES])
    connected = tuple(
        parent >= 0 and bool(np.linalg.norm(tails[parent] - heads[joint]) < 1e-6)
        for joint, parent in enumerate(PARENTS)
    )
    return BoneLayout(heads=heads, tails=tails, rolls=rolls, connected=connected)


def rest_rotations(layout: BoneLayout) -> NDArray[np.float64]:
    """(55, 3, 3) bone axes as columns: y along the bone, z as near to the roll vector as it can be."""
    y = layout.tails - layout.heads
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    z = layout.rolls - (layout.rolls * y).sum(1, keepdims=True) * y
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return np.stack([np.cross(y, z), y, z], -1)


def _roll(name: str) -> tuple[float, float, float]:
    # x = y cross z: with these, a positive turn about x bends: elbows and hips forward, knees back,
    # fingers to a fist, jaw open. Left and right are mirror images (all lie in the mirror plane).
    part = name.removeprefix("left_").removeprefix("right_")
    if part == "knee":
        return _BACK
    if part.startswith(_ROLLED_DOWN):
        return _DOWN
    return _UP if part.startswith(_ROLLED_UP) else _FORWARD


def _tail(name: str, joints: NDArray[np.float64]) -> NDArray[np.float64]:
    child = main_child(name)
    here = joints[JOINT_INDEX[name]]
    if child is not None:
        return joints[JOINT_INDEX[child]]
    parent = joints[PARENTS[JOINT_INDEX[name]]]
    head_size = float(np.linalg.norm(joints[JOINT_INDEX["head"]] - joints[JOINT_INDEX["neck"]]))
    if name == "head":
        return here + head_size * np.array([0.0, 0.0, 1.4])
    if name == "jaw":
        return here + head_size * np.array([0.0, -0.85, -0.65])
    if "eye" in name:
        return here + head_size * np.array([0.0, -0.3, 0.0])
    if name.endswith("foot"):
        toes = (here - parent) * np.array([1.0, 1.0, 0.0])
        return here + 0.45 * toes
    # The last bone of a finger goes on as the one before it, a little shorter.
    return here + 0.85 * (here - parent)

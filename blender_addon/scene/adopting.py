"""Armatures with SMPL-X's bones that were made elsewhere (SMPL-X's own add-on, motion capture tools)."""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np
from numpy.typing import NDArray

from ..shared_protocol.documents import BodyTemplate
from ..shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS
from . import stored
from .armature import joint_bones
from .errors import SceneError

_NEEDED: Final = JOINT_NAMES[:22]
"""The body's joints; jaw, eyes and fingers may be missing and are then at rest."""
_T_POSE_TOLERANCE: Final = np.cos(np.radians(25.0))
_LIMBS: Final = (
    ("left_shoulder", "left_wrist", (1.0, 0.0, 0.0)),
    ("right_shoulder", "right_wrist", (-1.0, 0.0, 0.0)),
    ("left_hip", "left_ankle", (0.0, 0.0, -1.0)),
    ("right_hip", "right_ankle", (0.0, 0.0, -1.0)),
)
_BONES_TO_MEASURE: Final = (
    ("pelvis", "spine3"),
    ("spine3", "head"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
)


def can_adopt(armature: bpy.types.Object) -> bool:
    """Whether the object has SMPL-X's bones and is not ours already."""
    if armature is None or armature.type != "ARMATURE" or stored.has(armature, stored.RIG):
        return False
    bones = joint_bones(armature)
    return all(joint in bones for joint in _NEEDED)


def adopt_armature(
    armature: bpy.types.Object, template: BodyTemplate | None = None
) -> bpy.types.Object:
    """Let an armature with SMPL-X's bones, made elsewhere, be read as a pose; its rest is a T-pose.

    Rest axes may be anything, and the data may be y up under a turned object (as SMPL-X's own add-on
    makes it): which way is up and forward is read from the joints.

    Args:
        template: the body that poses are meant for; gives the scale. Without it the scale is 1.

    Raises:
        SceneError: ``not_smplx``: bones are missing (the first few are named), or it rests in no T-pose.
    """
    if armature is None or armature.type != "ARMATURE":
        raise SceneError("not_smplx", "This is not an armature.", "Select one.")
    bones = joint_bones(armature)
    missing = [joint for joint in _NEEDED if joint not in bones]
    if missing:
        raise SceneError(
            "not_smplx",
            f"{armature.name} has no bones called {', '.join(missing[:3])}"
            + (f" and {len(missing) - 3} more." if len(missing) > 3 else "."),
            "Its bones must have SMPL-X's names.",
        )
    heads = {name: np.array(armature.data.bones[bone].head_local) for name, bone in bones.items()}
    axes = _upright_axes(heads)
    _check_t_pose(armature.name, heads, axes)
    scale = 1.0 if template is None else _size(heads, template)
    stored.write(
        armature,
        stored.RIG,
        {
            "kind": stored.ADOPTED,
            "model": "anny_smplx55" if template is None else template.model,
            "betas": [] if template is None else [0.0] * template.shape_directions.shape[2],
            "scale": scale,
            "height": _height(armature, axes, scale, template),
            "floor": 0.0,
            "pelvis": np.zeros(3) if template is None else scale * template.joints[0],
            "axes": axes,
            "proposed": np.zeros((N_JOINTS, 3)),
            "photo_pose": np.zeros((N_JOINTS, 3)),
            "photo_transl": np.zeros(3),
            "camera": [],
        },
    )
    return armature


def _upright_axes(heads: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(3, 3) turn by right angles from Blender's upright person to the armature's data."""
    up = _main_axis(heads["head"] - heads["pelvis"])
    left = _main_axis(heads["left_shoulder"] - heads["right_shoulder"])
    if abs(up @ left) > 0.5:
        raise SceneError("not_smplx", "The armature's rest is no T-pose.")
    forward = np.cross(left, up)
    return np.stack([left, -forward, up], -1)


def _main_axis(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    axis = np.zeros(3)
    main = int(np.abs(vector).argmax())
    axis[main] = np.sign(vector[main]) or 1.0
    return axis


def _check_t_pose(
    name: str, heads: dict[str, NDArray[np.float64]], axes: NDArray[np.float64]
) -> None:
    for start, end, direction in _LIMBS:
        limb = axes.T @ (heads[end] - heads[start])
        if limb @ np.asarray(direction) < _T_POSE_TOLERANCE * np.linalg.norm(limb):
            raise SceneError(
                "not_smplx",
                f"{name} does not rest in a T-pose ({start.replace('_', ' ')}).",
                "Apply a T-pose as its rest pose first.",
            )


def _height(
    armature: bpy.types.Object,
    axes: NDArray[np.float64],
    scale: float,
    template: BodyTemplate | None,
) -> float:
    if template is not None:
        return scale * float(np.ptp(template.vertices[:, 1]))
    ends = [
        np.array(end) for bone in armature.data.bones for end in (bone.head_local, bone.tail_local)
    ]
    return float(np.ptp([(axes.T @ end)[2] for end in ends]))


def _size(heads: dict[str, NDArray[np.float64]], template: BodyTemplate) -> float:
    theirs = sum(np.linalg.norm(heads[b] - heads[a]) for a, b in _BONES_TO_MEASURE)
    joints = template.joints
    mean = sum(
        np.linalg.norm(joints[JOINT_INDEX[b]] - joints[JOINT_INDEX[a]])
        for a, b in _BONES_TO_MEASURE
    )
    return float(theirs / mean)

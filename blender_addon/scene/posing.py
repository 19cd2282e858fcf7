"""Ready poses, mirroring, resetting, and what the artist has changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import bpy
import numpy as np

from ..shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, N_JOINTS
from . import pose_io, stored
from .armature import joint_bones
from .errors import SceneError
from .pose_conversion import matrices_from_quaternions, quaternions_from_vectors
from .preset_poses import (
    PRESETS,
    PresetName,
    Side,
    descendants,
    mirrored_vectors,
    other_side,
    preset_pose,
)

__all__ = [
    "PRESETS",
    "PresetName",
    "Side",
    "edited_joints",
    "mark_proposed",
    "mirror",
    "reset_limb",
    "selected_joints",
    "set_preset",
]

_EDITED: Final = np.radians(0.25)


def set_preset(armature: bpy.types.Object, preset: PresetName) -> None:
    """Pose everything but the pelvis, which stays where and as it is.

    Raises:
        SceneError: ``not_a_rig``, ``preset_unknown``.
    """
    if preset not in PRESETS:
        raise SceneError("preset_unknown", f"There is no pose called {preset}.")
    pose_io.write_joints(armature, preset_pose(preset), JOINT_NAMES[1:])


def mirror(armature: bpy.types.Object, from_side: Side) -> None:
    """Give the other side's limbs the mirrored pose of ``from_side``.

    Raises:
        SceneError: ``not_a_rig``.
    """
    full_pose = pose_io.read_rotations(armature)
    changed = []
    for joint in JOINT_NAMES:
        if joint.startswith(f"{from_side}_"):
            target = other_side(joint)
            full_pose[JOINT_INDEX[target]] = mirrored_vectors(full_pose[JOINT_INDEX[joint]])
            changed.append(target)
    pose_io.write_joints(armature, full_pose, tuple(changed))


def selected_joints(armature: bpy.types.Object) -> tuple[str, ...]:
    """SMPL-X names of the selected pose bones."""
    joint_of = {bone: joint for joint, bone in joint_bones(armature).items()}
    chosen = {joint_of.get(bone.name) for bone in armature.pose.bones if _selected(bone)}
    return tuple(joint for joint in JOINT_NAMES if joint in chosen)


def reset_limb(
    armature: bpy.types.Object,
    joints: str | Iterable[str] | None = None,
    to: Literal["proposed", "rest"] = "proposed",
) -> tuple[str, ...]:
    """Put joints and all below them back as proposed (or to the T-pose).

    Args:
        joints: SMPL-X names; None takes the selected bones.

    Returns:
        The joints that were reset.

    Raises:
        SceneError: ``not_a_rig``, ``nothing_selected``, ``joint_unknown``.
    """
    values = pose_io.rig_values(armature)
    if joints is None:
        named = selected_joints(armature)
    else:
        named = (joints,) if isinstance(joints, str) else tuple(joints)
    if not named:
        raise SceneError(
            "nothing_selected", "No bone is selected.", "Select the bones to reset in pose mode."
        )
    unknown = [joint for joint in named if joint not in JOINT_INDEX]
    if unknown:
        raise SceneError("joint_unknown", f"There is no joint called {unknown[0]}.")
    below = tuple(joint for joint in JOINT_NAMES if joint in descendants(named))
    target = np.zeros((N_JOINTS, 3))
    if to == "proposed":
        target = stored.array(values, "proposed", N_JOINTS, 3)
    pose_io.write_joints(armature, target, below)
    return below


def mark_proposed(armature: bpy.types.Object) -> None:
    """The pose as it stands is what the backend proposed; nothing counts as edited.

    Raises:
        SceneError: ``not_a_rig``.
    """
    stored.update(armature, stored.RIG, proposed=pose_io.read_rotations(armature))


def edited_joints(armature: bpy.types.Object) -> tuple[str, ...]:
    """Joints whose rotation differs from the proposed pose by more than 0.25 degrees.

    Raises:
        SceneError: ``not_a_rig``.
    """
    proposed = stored.array(pose_io.rig_values(armature), "proposed", N_JOINTS, 3)
    now = matrices_from_quaternions(quaternions_from_vectors(pose_io.read_rotations(armature)))
    then = matrices_from_quaternions(quaternions_from_vectors(proposed))
    # |A - B|_F = sqrt(8) sin(angle / 2) for rotations: no arc cosine that loses small angles.
    apart = np.linalg.norm(now - then, axis=(1, 2)) / np.sqrt(8.0)
    return tuple(
        joint for joint, sine in zip(JOINT_NAMES, apart, strict=True) if sine > np.sin(_EDITED / 2)
    )


def _selected(bone: bpy.types.PoseBone) -> bool:
    # Blender 5 moved the selection from the bone to the pose bone.
    own = getattr(bone, "select", None)
    return bool(bone.bone.select if own is None else own)

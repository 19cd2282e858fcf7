"""Bones to SMPL-X parameters and back, for our armatures and for others with the same joints.

What counts is where the bones are in the world: poses, constraints, the object's own transform and bones
in between are all seen. A rotation is how a bone has turned since its rest, so rest axes do not matter.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector
from numpy.typing import NDArray

from ..shared_protocol.messages import Pose
from ..shared_protocol.skeleton import JOINT_NAMES, N_JOINTS, PARENTS
from . import stored
from .armature import joint_bones
from .bone_frames import BoneFrames, Matrices, bone_frames
from .errors import SceneError
from .frames import blender_from_body, body_from_blender
from .pose_conversion import (
    blender_to_pose,
    matrices_from_quaternions,
    pose_to_blender,
    quaternions_from_matrices,
)


def rig_values(armature: bpy.types.Object) -> dict[str, Any]:
    """What is stored about one of our armatures.

    Raises:
        SceneError: ``not_a_rig``, ``stored_newer``.
    """
    values = stored.read(armature, stored.RIG) if armature is not None else None
    if values is None or armature.type != "ARMATURE":
        raise SceneError(
            "not_a_rig",
            "This is not a body of HumanRef.",
            "Select its armature, or adopt an armature with SMPL-X's bones.",
        )
    return values


def read_pose(armature: bpy.types.Object) -> Pose:
    """The pose as the armature stands now: bones, constraints and the object's own transform.

    Raises:
        SceneError: ``not_a_rig``.
    """
    values = rig_values(armature)
    factor = object_scale(armature)
    root = _world(armature)
    bones = joint_bones(armature)
    frames = bone_frames(armature)
    rotations = _full_pose(armature, values, bones, frames)
    pelvis = _pelvis(root, bones, frames)
    transl = pelvis - factor * stored.array(values, "pelvis", 3)
    return Pose(
        model=str(values["model"]),
        betas=tuple(float(beta) for beta in values["betas"]),
        full_pose=tuple(float(number) for number in rotations.ravel()),
        transl=(float(transl[0]), float(transl[1]), float(transl[2])),
        scale=float(values["scale"]) * factor,
    )


def read_rotations(armature: bpy.types.Object) -> NDArray[np.float64]:
    """(55, 3) axis-angle vectors, radians; joints that the armature lacks are at rest.

    Raises:
        SceneError: ``not_a_rig``.
    """
    bones = joint_bones(armature)
    return _full_pose(armature, rig_values(armature), bones, bone_frames(armature))


def write_rotations(armature: bpy.types.Object, full_pose: NDArray[np.floating]) -> None:
    """Turn the bones to (55, 3) axis-angle vectors; the pelvis stays where it is.

    Raises:
        SceneError: ``not_a_rig``.
    """
    write_joints(armature, full_pose, JOINT_NAMES)


def write_joints(
    armature: bpy.types.Object, full_pose: NDArray[np.floating], joints: tuple[str, ...]
) -> None:
    """Turn only the bones of ``joints``, each relative to its parent joint.

    Raises:
        SceneError: ``not_a_rig``.
    """
    values = rig_values(armature)
    bones = joint_bones(armature)
    frames = bone_frames(armature)
    rest = _rest_rotations(values, bones, frames)
    quaternions = pose_to_blender(full_pose, rest)
    for index, joint in enumerate(JOINT_NAMES):
        if joint not in bones or joint not in joints:
            continue
        pose_bone = armature.pose.bones[bones[joint]]
        if PARENTS[index] < 0:
            turn = _root_rotation(_world(armature), frames, pose_bone.name, rest[0], quaternions[0])
        else:
            _straighten_between(pose_bone, set(bones.values()))
            turn = Quaternion(quaternions[index])
        _turn(pose_bone, turn)


def rest(armature: bpy.types.Object) -> None:
    """Every bone of ours back to where it rests.

    Raises:
        SceneError: ``not_a_rig``.
    """
    rig_values(armature)
    for name in joint_bones(armature).values():
        armature.pose.bones[name].matrix_basis = Matrix.Identity(4)


def place_pelvis(armature: bpy.types.Object, position: NDArray[np.floating]) -> None:
    """Put the pelvis joint at a point (3,) of the body's world by moving its bone, not the object."""
    name = _pelvis_bone(joint_bones(armature))
    target = np.append(blender_from_body(np.asarray(position, np.float64)), 1.0)
    frame = _channel_frame(_world(armature), bone_frames(armature), name)
    armature.pose.bones[name].location = Vector(np.linalg.solve(frame, target)[:3])


def pelvis_position(armature: bpy.types.Object) -> NDArray[np.float64]:
    """The pelvis joint (3,) in the body's world."""
    return _pelvis(_world(armature), joint_bones(armature), bone_frames(armature))


def _pelvis(root: Matrices, bones: dict[str, str], frames: BoneFrames) -> NDArray[np.float64]:
    place = root @ frames.posed[frames.index[_pelvis_bone(bones)]]
    return body_from_blender(place[:3, 3])


def _pelvis_bone(bones: dict[str, str]) -> str:
    if "pelvis" not in bones:
        raise SceneError("not_a_rig", "This body has lost its pelvis bone.", "Undo its deletion.")
    return bones["pelvis"]


def _full_pose(
    armature: bpy.types.Object,
    values: dict[str, Any],
    bones: dict[str, str],
    frames: BoneFrames,
) -> NDArray[np.float64]:
    _pelvis_bone(bones)
    # How far each bone has turned in the armature's axes; joints that are missing go with their parents.
    all_turned = _unscaled(frames.posed[:, :3, :3]) @ np.swapaxes(frames.rest[:, :3, :3], 1, 2)
    turned = np.empty((N_JOINTS, 3, 3))
    for index, joint in enumerate(JOINT_NAMES):
        if joint in bones:
            turned[index] = all_turned[frames.index[bones[joint]]]
        else:
            turned[index] = turned[PARENTS[index]]
    rest = _rest_rotations(values, bones, frames)
    axes = stored.array(values, "axes", 3, 3)
    before = np.swapaxes(turned[np.maximum(PARENTS, 0)], 1, 2).copy()
    before[0] = axes @ _unscaled(_world(armature)[:3, :3])
    seen = np.swapaxes(axes @ rest, 1, 2) @ before @ turned @ (axes @ rest)
    return blender_to_pose(quaternions_from_matrices(seen), rest)


def _rest_rotations(values: dict[str, Any], bones: dict[str, str], frames: BoneFrames) -> Matrices:
    """(55, 3, 3) rest axes as if the armature's data stood upright and faced -y."""
    axes = stored.array(values, "axes", 3, 3)
    rest = np.tile(np.eye(3), (N_JOINTS, 1, 1))
    for index, joint in enumerate(JOINT_NAMES):
        if joint in bones:
            rest[index] = axes.T @ frames.rest[frames.index[bones[joint]], :3, :3]
    return rest


def _channel_frame(root: Matrices, frames: BoneFrames, name: str) -> Matrices:
    """(4, 4) what a bone's own channels are relative to, in the world."""
    return root @ frames.parent_posed(name) @ frames.offsets[frames.index[name]]


def _root_rotation(
    root: Matrices,
    frames: BoneFrames,
    name: str,
    rest: Matrices,
    quaternion: NDArray[np.float64],
) -> Quaternion:
    """The channel that gives the pelvis its world orientation, whatever the object's own is."""
    turned = rest @ matrices_from_quaternions(quaternion[None])[0]
    basis = _unscaled(_channel_frame(root, frames, name)[:3, :3]).T @ turned
    return Quaternion(quaternions_from_matrices(basis[None])[0])


def _straighten_between(bone: bpy.types.PoseBone, ours: set[str]) -> None:
    above = bone.parent
    while above is not None and above.name not in ours:
        above.matrix_basis = Matrix.Identity(4)
        above = above.parent


def _turn(bone: bpy.types.PoseBone, turn: Quaternion) -> None:
    if bone.rotation_mode == "QUATERNION":
        # The nearer of the two quaternions of a rotation: interpolated keys take the short way.
        if turn.dot(bone.rotation_quaternion) < 0:
            turn.negate()
        bone.rotation_quaternion = turn
    elif bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = turn.to_axis_angle()
        bone.rotation_axis_angle = (angle, *axis)
    else:
        bone.rotation_euler = turn.to_euler(bone.rotation_mode, bone.rotation_euler)


def _world(armature: bpy.types.Object) -> Matrices:
    # matrix_world waits for the next evaluation; without parent or constraint the channels say it now.
    if armature.parent is None and not armature.constraints:
        return _array(armature.matrix_basis)
    bpy.context.view_layer.update()
    return _array(armature.matrix_world)


def object_scale(armature: bpy.types.Object) -> float:
    """How much the object's own transform enlarges it."""
    return float(abs(np.linalg.det(_world(armature)[:3, :3])) ** (1 / 3))


def _unscaled(matrix: Matrices) -> Matrices:
    return matrix / np.linalg.norm(matrix, axis=-2, keepdims=True)


def _array(matrix: Matrix) -> Matrices:
    return np.array(matrix, np.float64)

"""A person's body as an armature and a skinned mesh over the photo."""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..shared_protocol.documents import BodyTemplate
from ..shared_protocol.messages import Camera, PhotoInfo, Pose
from ..shared_protocol.skeleton import JOINT_NAMES, N_JOINTS
from . import materials, mesh_data, pose_io, skinning, stored
from .adopting import adopt_armature, can_adopt
from .armature import build_armature, skinned_mesh
from .collections import new_collection
from .errors import SceneError
from .frames import blender_from_body
from .photo_camera import cameras_of, match_camera
from .pose_io import read_pose
from .shape import add_shape_keys, read_height_cm, set_height_cm, set_shape

__all__ = [
    "BodyRig",
    "accept_proposal",
    "adopt_armature",
    "apply_pose",
    "build_body",
    "can_adopt",
    "find_rigs",
    "read_betas",
    "read_camera",
    "read_height_cm",
    "read_photo",
    "read_pose",
    "set_height_cm",
    "set_shape",
    "skinned_mesh",
]

_SKIN: Final = (0.32, 0.62, 0.95, 0.42)


@frozen(kw_only=True, eq=False)
class BodyRig:
    """What :func:`build_body` made. Valid until the next undo or file load: keep names, not these."""

    armature: bpy.types.Object
    mesh: bpy.types.Object
    collection: bpy.types.Collection


def build_body(
    context: bpy.types.Context,
    template: BodyTemplate,
    pose: Pose,
    camera: Camera,
    photo: PhotoInfo,
    name: str,
    collection: bpy.types.Collection | None = None,
) -> BodyRig:
    """Armature of 55 bones and skinned body in ``pose``; the pose counts as proposed.

    Rest is the T-pose, standing on the origin; what the pose moves, the pelvis bone moves.

    Args:
        collection: where to put it; None makes one called ``name`` under the scene's.

    Raises:
        SceneError: ``template_invalid``, ``pose_invalid``.
    """
    betas = _checked_betas(template, pose)
    full_pose = checked_full_pose(pose)
    scale = float(pose.scale)
    rest = scale * (template.vertices + template.shape_directions @ betas)
    floor = -float(rest[:, 1].min())
    joints = scale * (template.joints + template.joint_directions @ betas)
    if collection is None:
        collection = new_collection(context.scene, name)
    raised = joints + np.array([0.0, floor, 0.0])
    armature = build_armature(context, f"{name} body", blender_from_body(raised), collection)
    stored.write(
        armature,
        stored.RIG,
        {
            "kind": stored.BODY,
            "model": pose.model,
            "licence": template.licence,
            "betas": betas,
            "scale": scale,
            "height": float(np.ptp(rest[:, 1])),
            "floor": floor,
            "pelvis": joints[0],
            "axes": np.eye(3),
            "joints": template.joints,
            "joint_directions": template.joint_directions,
            "proposed": full_pose,
            "photo_pose": full_pose,
            "photo_transl": pose.transl,
            "camera": stored.camera_values(camera),
            **stored.photo_values(photo),
        },
    )
    mesh = _skin(template, scale, floor, f"{name} skin", armature, collection)
    for key, beta in zip(mesh.data.shape_keys.key_blocks[1:], betas, strict=True):
        key.value = beta
    _put(armature, full_pose, np.asarray(pose.transl) + joints[0])
    return BodyRig(armature=armature, mesh=mesh, collection=collection)


def apply_pose(armature: bpy.types.Object, pose: Pose) -> None:
    """Pose the bones; the shape as well, where the rig is a body and the betas are another's.

    Raises:
        SceneError: ``not_a_rig``, ``pose_invalid``.
    """
    values = pose_io.rig_values(armature)
    if pose.model != values["model"]:
        raise SceneError(
            "pose_invalid",
            f"The pose is made for the body {pose.model}, and this one is {values['model']}.",
        )
    full_pose = checked_full_pose(pose)
    if values["kind"] == stored.BODY:
        if not np.allclose(pose.betas, list(values["betas"]), atol=1e-6):
            set_shape(armature, pose.betas)
        present = pose_io.rig_values(armature)
        here = float(present["scale"]) * pose_io.object_scale(armature)
        if abs(here / pose.scale - 1.0) > 1e-6:
            set_height_cm(armature, read_height_cm(armature) * pose.scale / here)
        values = pose_io.rig_values(armature)
    offset = stored.array(values, "pelvis", 3) * pose_io.object_scale(armature)
    _put(armature, full_pose, np.asarray(pose.transl) + offset)


def accept_proposal(
    armature: bpy.types.Object, pose: Pose, camera: Camera, photo: PhotoInfo
) -> None:
    """A re-fit of this rig: pose, shape, size and camera are the proposal's, and nothing counts as edited.

    An adopted armature keeps its bones' lengths; it remembers shape and size of the proposal.

    Raises:
        SceneError: ``not_a_rig``, ``pose_invalid``.
    """
    if pose_io.rig_values(armature)["kind"] == stored.ADOPTED:
        scale = float(pose.scale) / pose_io.object_scale(armature)
        before = stored.array(pose_io.rig_values(armature), "pelvis", 3)
        grown = scale / float(armature[stored.RIG]["scale"])
        stored.update(
            armature, stored.RIG, betas=list(pose.betas), scale=scale, pelvis=before * grown
        )
    apply_pose(armature, pose)
    full_pose = checked_full_pose(pose)
    stored.update(
        armature,
        stored.RIG,
        proposed=full_pose,
        photo_pose=full_pose,
        photo_transl=list(pose.transl),
        camera=stored.camera_values(camera),
        **stored.photo_values(photo),
    )
    for shown in cameras_of(photo):
        match_camera(shown, camera, photo)


def read_betas(armature: bpy.types.Object) -> tuple[float, ...]:
    """The body's shape coefficients.

    Raises:
        SceneError: ``not_a_rig``.
    """
    return tuple(float(beta) for beta in pose_io.rig_values(armature)["betas"])


def read_camera(armature: bpy.types.Object) -> Camera | None:
    """The photo's camera in this rig's world (it follows the rig's height); None where it has none.

    Raises:
        SceneError: ``not_a_rig``.
    """
    return stored.camera_from(pose_io.rig_values(armature))


def read_photo(armature: bpy.types.Object) -> PhotoInfo | None:
    """The photo that the rig was made for; None where it has none.

    Raises:
        SceneError: ``not_a_rig``.
    """
    return stored.photo_from(pose_io.rig_values(armature))


def find_rigs(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The armatures of the scene that can be read as a pose, by name: our bodies and adopted ones."""
    kinds = (stored.BODY, stored.ADOPTED)
    return [obj for obj in scene.objects if rig_kind(obj) in kinds]


def rig_kind(obj: bpy.types.Object) -> str:
    """``body``, ``character`` or ``adopted``; empty for everything else."""
    if obj.type != "ARMATURE" or not stored.has(obj, stored.RIG):
        return ""
    return str(obj[stored.RIG].get("kind", ""))


def checked_full_pose(pose: Pose) -> NDArray[np.float64]:
    """The (55, 3) rotation vectors of a pose.

    Raises:
        SceneError: ``pose_invalid``.
    """
    flat = np.asarray([*pose.full_pose, *pose.transl, pose.scale], np.float64)
    if len(pose.full_pose) != 3 * N_JOINTS or not np.isfinite(flat).all() or pose.scale <= 0:
        raise SceneError("pose_invalid", "The pose is not 165 finite numbers with a scale above 0.")
    return flat[: 3 * N_JOINTS].reshape(N_JOINTS, 3)


def _checked_betas(template: BodyTemplate, pose: Pose) -> NDArray[np.float64]:
    size, count = template.shape_directions.shape[2], len(template.vertices)
    if (
        template.joints.shape != (N_JOINTS, 3)
        or template.joint_directions.shape != (N_JOINTS, 3, size)
        or len(template.skin_indices) != count
        or template.skin_indices.max(initial=0) >= N_JOINTS
        or template.faces.min(initial=0) < 0
        or template.faces.max(initial=0) >= count
    ):
        raise SceneError(
            "template_invalid", "The body that the backend sent does not fit together."
        )
    if pose.model != template.model or len(pose.betas) > size:
        raise SceneError(
            "pose_invalid", f"The pose is made for {pose.model}, the body is {template.model}."
        )
    betas = np.zeros(size)
    betas[: len(pose.betas)] = pose.betas
    return betas


def _skin(
    template: BodyTemplate,
    scale: float,
    floor: float,
    name: str,
    armature: bpy.types.Object,
    collection: bpy.types.Collection,
) -> bpy.types.Object:
    data = bpy.data.meshes.new(name)
    mesh = bpy.data.objects.new(name, data)
    collection.objects.link(mesh)
    raised = scale * template.vertices + np.array([0.0, floor, 0.0], np.float32)
    mesh_data.add_vertices(data, raised)
    skinning.bind(mesh, armature, JOINT_NAMES, template.skin_indices, template.skin_weights)
    mesh_data.add_faces(data, template.faces)
    add_shape_keys(mesh, template, scale)
    data.materials.append(materials.ghost_material(name, _SKIN))
    mesh.color = _SKIN
    # Clicks go to the bones.
    mesh.hide_select = True
    stored.write(mesh, stored.MESH, {"role": stored.BODY})
    return mesh


def _put(
    armature: bpy.types.Object, full_pose: NDArray[np.float64], pelvis: NDArray[np.float64]
) -> None:
    pose_io.write_rotations(armature, full_pose)
    pose_io.place_pelvis(armature, pelvis)

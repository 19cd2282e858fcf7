"""The body's shape and size: linear in betas, as shape keys on the mesh and rest joints on the bones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..shared_protocol.documents import BodyTemplate
from ..shared_protocol.messages import Camera
from ..shared_protocol.skeleton import N_JOINTS
from . import mesh_data, photo_camera, pose_io, stored
from .armature import move_rest_joints, scale_rest, skinned_mesh
from .errors import SceneError
from .frames import blender_from_body

_LARGEST_BETA = 10.0


def add_shape_keys(mesh: bpy.types.Object, template: BodyTemplate, scale: float) -> None:
    """One relative shape key a beta on a mesh whose vertices are those of betas = 0."""
    basis = mesh_data.positions(mesh.data)
    mesh.shape_key_add(name="Basis", from_mix=False)
    for index in range(template.shape_directions.shape[2]):
        key = mesh.shape_key_add(name=f"Shape {index + 1}", from_mix=False)
        key.slider_min, key.slider_max = -_LARGEST_BETA, _LARGEST_BETA
        offset = blender_from_body(template.shape_directions[:, :, index]) * np.float32(scale)
        key.points.foreach_set("co", (basis + offset).ravel())


def set_shape(armature: bpy.types.Object, betas: Sequence[float]) -> None:
    """Another body shape in the same pose: mesh and bones (fewer betas than the model's: the rest stay).

    Raises:
        SceneError: ``not_a_rig``, ``no_shape``, ``pose_invalid``.
    """
    values = pose_io.rig_values(armature)
    mesh = skinned_mesh(armature)
    keys = mesh.data.shape_keys.key_blocks if mesh and mesh.data.shape_keys else []
    known = [float(beta) for beta in values["betas"]]
    if values["kind"] != stored.BODY or len(keys) != len(known) + 1:
        raise SceneError(
            "no_shape",
            f"{armature.name} has no body shape to change.",
            "Shapes belong to the body that Estimate makes.",
        )
    if len(betas) > len(known) or not np.isfinite(np.asarray(betas, float)).all():
        raise SceneError(
            "pose_invalid", f"A shape of this body has {len(known)} finite numbers at the most."
        )
    wanted = [*(float(beta) for beta in betas), *known[len(betas) :]]
    pelvis = pose_io.pelvis_position(armature)
    rotations = pose_io.read_rotations(armature)
    for key, beta in zip(keys[1:], wanted, strict=True):
        key.value = beta
    scale = float(values["scale"])
    rest = scale * _joints(values, wanted)
    place = pelvis + pose_io.object_scale(armature) * (rest[0] - stored.array(values, "pelvis", 3))
    stored.update(
        armature,
        stored.RIG,
        betas=wanted,
        pelvis=rest[0],
        height=_height(mesh.data, wanted),
    )
    rest[:, 1] += float(values["floor"])
    move_rest_joints(bpy.context, armature, blender_from_body(rest))
    # Bones point elsewhere now; the same channels would be another pose.
    pose_io.write_rotations(armature, rotations)
    pose_io.place_pelvis(armature, place)


def read_height_cm(armature: bpy.types.Object) -> float:
    """Height of the T-pose.

    Raises:
        SceneError: ``not_a_rig``.
    """
    return 100.0 * float(pose_io.rig_values(armature)["height"]) * pose_io.object_scale(armature)


def set_height_cm(armature: bpy.types.Object, cm: float) -> None:
    """Scale rig and its camera about the world's origin: the body stays over the photo.

    Bones and mesh of our own rigs become larger; an adopted armature is scaled as an object.

    Raises:
        SceneError: ``not_a_rig``, ``height_invalid``.
    """
    values = pose_io.rig_values(armature)
    if not (np.isfinite(cm) and 10.0 <= cm <= 1000.0):
        raise SceneError("height_invalid", f"A height lies between 10 and 1000 cm, not {cm:g} cm.")
    factor = cm / read_height_cm(armature)
    if abs(factor - 1.0) < 1e-7:
        return
    armature.location = armature.location * factor
    if values["kind"] == stored.ADOPTED:
        armature.scale = armature.scale * factor
    else:
        _enlarge(armature, values, factor)
    photo_transl = stored.array(values, "photo_transl", 3) * factor
    stored.update(armature, stored.RIG, photo_transl=photo_transl)
    camera, photo = stored.camera_from(values), stored.photo_from(values)
    if camera is not None and photo is not None:
        smaller = Camera(
            pixels_per_metre=camera.pixels_per_metre / factor,
            center_u=camera.center_u,
            center_v=camera.center_v,
        )
        stored.update(armature, stored.RIG, camera=stored.camera_values(smaller))
        for shown in photo_camera.cameras_of(photo):
            photo_camera.match_camera(shown, smaller, photo)


def _enlarge(armature: bpy.types.Object, values: dict[str, Any], factor: float) -> None:
    mesh = skinned_mesh(armature)
    if mesh is not None:
        _scale_mesh(mesh.data, factor)
    scale_rest(bpy.context, armature, factor)
    for bone in armature.pose.bones:
        bone.location = bone.location * factor
    stored.update(
        armature,
        stored.RIG,
        scale=float(values["scale"]) * factor,
        height=float(values["height"]) * factor,
        floor=float(values["floor"]) * factor,
        pelvis=stored.array(values, "pelvis", 3) * factor,
    )


def _joints(values: dict[str, Any], betas: Sequence[float]) -> NDArray[np.float64]:
    mean = stored.array(values, "joints", N_JOINTS, 3)
    directions = stored.array(values, "joint_directions", N_JOINTS, 3, len(betas))
    return mean + directions @ np.asarray(betas, np.float64)


def _height(mesh: bpy.types.Mesh, betas: Sequence[float]) -> float:
    blocks = mesh.shape_keys.key_blocks
    basis = _key_heights(blocks[0])
    z = basis.copy()
    for key, beta in zip(blocks[1:], betas, strict=True):
        z += np.float32(beta) * (_key_heights(key) - basis)
    return float(np.ptp(z))


def _key_heights(key: bpy.types.ShapeKey) -> NDArray[np.float32]:
    flat = np.empty(3 * len(key.points), np.float32)
    key.points.foreach_get("co", flat)
    return flat[2::3].copy()


def _scale_mesh(mesh: bpy.types.Mesh, factor: float) -> None:
    for key in mesh.shape_keys.key_blocks if mesh.shape_keys else ():
        flat = np.empty(3 * len(key.points), np.float32)
        key.points.foreach_get("co", flat)
        key.points.foreach_set("co", flat * np.float32(factor))
    scaled = mesh_data.positions(mesh) * np.float32(factor)
    mesh.attributes["position"].data.foreach_set("vector", scaled.ravel())
    mesh.update()

"""A finished character in the scene: skinned, posed as in the photo, coloured."""

from __future__ import annotations

from typing import Literal

import bpy
import numpy as np
from attrs import frozen

from ..shared_protocol.documents import CharacterData
from ..shared_protocol.skeleton import JOINT_NAMES, N_JOINTS
from . import materials, mesh_data, pose_io, rig, skinning, stored
from .armature import build_armature, skinned_mesh
from .collections import make_active, new_collection
from .errors import SceneError
from .frames import blender_from_body
from .preset_poses import preset_pose


@frozen(kw_only=True, eq=False)
class ImportedCharacter:
    """What :func:`import_character` made. Valid until the next undo or file load."""

    armature: bpy.types.Object
    mesh: bpy.types.Object
    collection: bpy.types.Collection


def import_character(
    context: bpy.types.Context,
    data: CharacterData,
    collection: bpy.types.Collection | None = None,
) -> ImportedCharacter:
    """Armature and skinned mesh over the photo; the armature is selected and active.

    Rest is the T-pose, feet on the origin. The photo's pose is kept: see :func:`to_photo_pose`.

    Args:
        collection: where to put it; None makes one named after the character under the scene's.

    Raises:
        SceneError: ``character_invalid``, ``pose_invalid``.
    """
    _check(data)
    full_pose = rig.checked_full_pose(data.pose)
    image = materials.packed_image(f"{data.name} texture", data.texture) if data.texture else None
    if collection is None:
        collection = new_collection(context.scene, data.name)
    joints = blender_from_body(data.rest_joints)
    armature = build_armature(context, data.name, joints, collection)
    pelvis = np.asarray(data.joints[0], np.float64)
    stored.write(
        armature,
        stored.RIG,
        {
            "kind": stored.CHARACTER,
            "model": data.pose.model,
            "betas": list(data.pose.betas),
            "scale": float(data.pose.scale),
            "height": float(np.ptp(data.rest_vertices[:, 1])),
            "floor": 0.0,
            "pelvis": pelvis - np.asarray(data.pose.transl),
            "axes": np.eye(3),
            "proposed": full_pose,
            "photo_pose": full_pose,
            "photo_transl": data.pose.transl,
            "camera": stored.camera_values(data.camera),
            **stored.photo_values(data.photo),
        },
    )
    mesh = _skin(data, armature, collection, image)
    to_photo_pose(armature)
    make_active(context, armature)
    return ImportedCharacter(armature=armature, mesh=mesh, collection=collection)


def find_characters(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Armatures of imported characters."""
    return [obj for obj in scene.objects if rig.rig_kind(obj) == stored.CHARACTER]


def to_rest_pose(armature: bpy.types.Object, pose: Literal["T", "A"] = "T") -> None:
    """Stand upright on the object's origin, facing as the object does.

    Raises:
        SceneError: ``not_a_rig``.
    """
    pose_io.rest(armature)
    if pose == "A":
        pose_io.write_joints(armature, preset_pose("A"), JOINT_NAMES[1:])


def to_photo_pose(armature: bpy.types.Object) -> None:
    """The pose of the photo, over the photo.

    Raises:
        SceneError: ``not_a_rig``.
    """
    values = pose_io.rig_values(armature)
    pose_io.write_rotations(armature, stored.array(values, "photo_pose", N_JOINTS, 3))
    transl = stored.array(values, "photo_transl", 3)
    pose_io.place_pelvis(armature, transl + stored.array(values, "pelvis", 3))


def has_texture(armature: bpy.types.Object) -> bool:
    """Whether the character came with a baked texture."""
    return any(materials.has_texture(material) for material in _materials(armature))


def texture_shown(armature: bpy.types.Object) -> bool:
    """Whether the mesh is coloured by its texture now."""
    return any(materials.texture_chosen(material) for material in _materials(armature))


def show_texture(armature: bpy.types.Object, shown: bool) -> None:
    """Colour the mesh by its texture, or by its vertices.

    Raises:
        SceneError: ``not_a_rig``, ``no_texture``, ``material_changed``.
    """
    found = _materials(armature)
    if not found:
        raise SceneError("not_a_rig", "The character's mesh or material is gone.")
    for material in found:
        materials.choose(material, shown)


def _materials(armature: bpy.types.Object) -> list[bpy.types.Material]:
    mesh = skinned_mesh(armature)
    return [] if mesh is None else [m for m in mesh.data.materials if m is not None]


def _skin(
    data: CharacterData,
    armature: bpy.types.Object,
    collection: bpy.types.Collection,
    image: bpy.types.Image | None,
) -> bpy.types.Object:
    name = f"{data.name} mesh"
    mesh = bpy.data.meshes.new(name)
    obj = bpy.data.objects.new(name, mesh)
    collection.objects.link(obj)
    mesh_data.add_vertices(mesh, data.rest_vertices)
    skinning.bind(obj, armature, JOINT_NAMES, data.skin_indices, data.skin_weights)
    mesh_data.add_faces(mesh, data.faces)
    mesh_data.color_bytes(mesh, data.colors)
    if len(data.uv):
        mesh_data.set_uv(mesh, data.uv)
    mesh.materials.append(materials.colored_material(data.name, image))
    stored.write(obj, stored.MESH, {"role": stored.CHARACTER})
    return obj


def _check(data: CharacterData) -> None:
    count, corners = len(data.rest_vertices), data.faces.size
    fits = (
        count > 0
        and corners > 0
        and data.rest_vertices.shape == data.colors.shape == (count, 3)
        and data.skin_indices.shape == data.skin_weights.shape
        and len(data.skin_indices) == count
        and int(data.skin_indices.max()) < N_JOINTS
        and data.rest_joints.shape == data.joints.shape == (N_JOINTS, 3)
        and int(data.faces.min()) >= 0
        and int(data.faces.max()) < count
        and data.uv.shape in ((0, 2), (corners, 2))
        and bool(np.isfinite(data.rest_vertices).all())
        and bool(np.isfinite(data.rest_joints).all())
        and bool(np.isfinite(data.joints).all())
    )
    if not fits:
        raise SceneError(
            "character_invalid",
            "The character that arrived does not fit together.",
            "Fetch the result again.",
        )

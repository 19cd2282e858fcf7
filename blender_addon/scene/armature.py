"""Armatures of 55 bones: made once, moved to other rest joints, and found again whatever they are called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import bpy
import numpy as np
from mathutils import Vector
from numpy.typing import NDArray

from ..shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from . import stored
from .bone_layout import BoneLayout, lay_out

_COLLECTIONS: Final = ("Body", "Left hand", "Right hand", "Face")
# Blender's bone themes: left and right apart at a glance, the middle in a third colour.
_COLORS: Final = {"left": "THEME04", "right": "THEME01", "middle": "THEME09"}


def build_armature(
    context: bpy.types.Context,
    name: str,
    joints: NDArray[np.floating],
    collection: bpy.types.Collection,
) -> bpy.types.Object:
    """An armature at the world's origin whose rest joints (55, 3) lie in Blender's axes, metres."""
    data = bpy.data.armatures.new(name)
    armature = bpy.data.objects.new(name, data)
    collection.objects.link(armature)
    # Slender: the photo and the skin are what the artist looks at.
    data.display_type = "STICK"
    armature.show_in_front = True
    layout = lay_out(joints)
    with edit_bones(context, armature) as bones:
        for index, joint in enumerate(JOINT_NAMES):
            bone = bones.new(joint)
            bone.head, bone.tail = Vector(layout.heads[index]), Vector(layout.tails[index])
            bone.align_roll(Vector(layout.rolls[index]))
            if PARENTS[index] >= 0:
                bone.parent = bones[JOINT_NAMES[PARENTS[index]]]
                bone.use_connect = layout.connected[index]
    groups = {group: data.collections.new(group) for group in _COLLECTIONS}
    for joint in JOINT_NAMES:
        bone = data.bones[joint]
        bone[stored.JOINT] = joint
        groups[_collection_of(joint)].assign(bone)
        bone.color.palette = _COLORS.get(joint.split("_")[0], _COLORS["middle"])
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
        bone.lock_location = (bone.name != "pelvis",) * 3
        bone.lock_scale = (True,) * 3
    return armature


def move_rest_joints(
    context: bpy.types.Context, armature: bpy.types.Object, joints: NDArray[np.floating]
) -> None:
    """Give an armature of ours other rest joints (55, 3), in Blender's axes; bones keep their channels.

    Joints whose bones the artist has deleted are passed over.
    """
    layout: BoneLayout = lay_out(joints)
    names = joint_bones(armature)
    with edit_bones(context, armature) as bones:
        # Parents come first in the skeleton's order: a connected head follows its parent's tail.
        for index, joint in enumerate(JOINT_NAMES):
            if joint not in names:
                continue
            bone = bones[names[joint]]
            bone.head, bone.tail = Vector(layout.heads[index]), Vector(layout.tails[index])
            bone.align_roll(Vector(layout.rolls[index]))


def scale_rest(context: bpy.types.Context, armature: bpy.types.Object, factor: float) -> None:
    """Scale all rest bones, the artist's own included, about the object's origin."""
    with edit_bones(context, armature) as bones:
        ends = [(bone, bone.head * factor, bone.tail * factor) for bone in bones]
        for bone, head, tail in ends:
            bone.head, bone.tail = head, tail


@contextmanager
def edit_bones(
    context: bpy.types.Context, armature: bpy.types.Object
) -> Iterator[bpy.types.ArmatureEditBones]:
    """The armature in edit mode, wherever the artist is; afterwards everything is as it was.

    Rest bones can be changed in no other way. A hidden armature, or one outside the view layer, is
    shown for the moment: only what is visible can be edited.
    """
    layer = context.view_layer
    active = layer.objects.active
    mode = active.mode if active is not None else "OBJECT"
    home = context.scene.collection
    linked = armature.name not in layer.objects
    if linked:
        home.objects.link(armature)
    hidden, hidden_here = armature.hide_viewport, armature.hide_get()
    if mode != "OBJECT" and active is not armature:
        bpy.ops.object.mode_set(mode="OBJECT")
    try:
        armature.hide_viewport = False
        armature.hide_set(False)
        layer.objects.active = armature
        if armature.mode != "EDIT":
            bpy.ops.object.mode_set(mode="EDIT")
        yield armature.data.edit_bones
    finally:
        here = mode if active is armature and mode != "EDIT" else "OBJECT"
        bpy.ops.object.mode_set(mode=here)
        armature.hide_set(hidden_here)
        armature.hide_viewport = hidden
        if linked:
            home.objects.unlink(armature)
        if active is not armature:
            layer.objects.active = active
            if mode != "OBJECT":
                bpy.ops.object.mode_set(mode=mode)


def joint_bones(armature: bpy.types.Object) -> dict[str, str]:
    """SMPL-X name -> present bone name, for the joints that the armature has."""
    found: dict[str, str] = {}
    for bone in armature.data.bones:
        joint = bone.get(stored.JOINT)
        if joint is None and bone.name in JOINT_INDEX:
            joint = bone.name
        if joint in JOINT_INDEX:
            found.setdefault(joint, bone.name)
    return found


def skinned_mesh(armature: bpy.types.Object) -> bpy.types.Object | None:
    """The mesh of ours that this armature deforms."""
    for child in armature.children:
        if child.type == "MESH" and stored.has(child, stored.MESH):
            return child
    return None


def _collection_of(joint: str) -> str:
    index = JOINT_INDEX[joint]
    if joint in ("jaw", "left_eye_smplhf", "right_eye_smplhf"):
        return "Face"
    if index >= 25:
        return "Left hand" if joint.startswith("left") else "Right hand"
    return "Body"

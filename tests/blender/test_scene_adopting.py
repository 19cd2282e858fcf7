"""Armatures with SMPL-X's bones that were made elsewhere."""

import attrs
import bpy
import numpy as np
import pytest
from mathutils import Quaternion
from scene_data import SceneData, assert_pose, foreign_armature

MILLIMETRE = 1e-3


@pytest.mark.parametrize("y_up", [False, True])
def test_armature_from_elsewhere_is_read(data: SceneData, y_up: bool) -> None:
    """Other rest axes, a root bone above, y-up data under a turned object: the same pose."""
    foreign = foreign_armature(data, y_up)
    scene_rig = data.scene("rig")
    assert scene_rig.can_adopt(foreign)
    assert scene_rig.adopt_armature(foreign, data.template) == foreign
    assert not scene_rig.can_adopt(foreign)
    assert foreign in scene_rig.find_rigs(bpy.context.scene)
    np.testing.assert_allclose(scene_rig.read_pose(foreign).full_pose, 0.0, atol=1e-5)
    # Rest joints are those of betas = 0, so the joints of a pose show whether it arrived.
    plain = attrs.evolve(data.pose(1), betas=(0.0,) * 16, scale=1.0)
    scene_rig.apply_pose(foreign, plain)
    found = scene_rig.read_pose(foreign)
    np.testing.assert_allclose(found.transl, plain.transl, atol=1e-5)
    reference = scene_rig.build_body(
        bpy.context, data.template, plain, data.camera, data.photo, "reference"
    )
    bpy.context.view_layer.update()
    for joint in data.wire("skeleton").JOINT_NAMES:
        here = foreign.matrix_world @ foreign.pose.bones[joint].head
        there = reference.armature.matrix_world @ reference.armature.pose.bones[joint].head
        assert (here - there).length < 0.1 * MILLIMETRE
    # What a re-fit proposes for it is what is read back, and its height scales the object.
    proposed = data.pose(2)
    scene_rig.accept_proposal(foreign, proposed, data.camera, data.photo)
    assert_pose(data, scene_rig.read_pose(foreign), proposed)
    scene_rig.set_height_cm(foreign, 1.5 * scene_rig.read_height_cm(foreign))
    larger = scene_rig.read_pose(foreign)
    assert larger.scale == pytest.approx(1.5 * proposed.scale, rel=1e-5)
    np.testing.assert_allclose(larger.transl, 1.5 * np.array(proposed.transl), atol=1e-5)
    # Turned by hand, in whatever axes the bone has.
    foreign.pose.bones["left_knee"].rotation_mode = "QUATERNION"
    foreign.pose.bones["left_knee"].rotation_quaternion = Quaternion((1, 0, 0, 0))
    turned = np.array(scene_rig.read_pose(foreign).full_pose).reshape(55, 3)
    index = data.wire("skeleton").JOINT_INDEX["left_knee"]
    np.testing.assert_allclose(turned[index], 0.0, atol=1e-5)


def test_armatures_that_cannot_be_adopted(data: SceneData) -> None:
    scene_rig, error = data.scene("rig"), data.scene("errors").SceneError
    few = foreign_armature(data, False)
    few.data.bones["spine2"].name = "Spine2"
    assert not scene_rig.can_adopt(few)
    with pytest.raises(error, match="spine2"):
        scene_rig.adopt_armature(few)
    bent = foreign_armature(data, False)
    bpy.context.view_layer.objects.active = bent
    bpy.ops.object.mode_set(mode="EDIT")
    elbow = bent.data.edit_bones["left_wrist"]
    elbow.head, elbow.tail = (0.2, 0, 0.0), (0.2, 0, -0.1)
    bpy.ops.object.mode_set(mode="OBJECT")
    with pytest.raises(error, match="T-pose"):
        scene_rig.adopt_armature(bent)
    with pytest.raises(error):
        scene_rig.adopt_armature(bpy.data.objects.new("empty", None))

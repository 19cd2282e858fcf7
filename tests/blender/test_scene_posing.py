"""Presets, mirror, reset and the list of what was edited, on a real rig."""

import bpy
import numpy as np
import pytest
from mathutils import Quaternion
from scene_data import SceneData, body_axes


def joints(armature) -> dict[str, np.ndarray]:
    bpy.context.view_layer.update()
    return {
        bone.name: body_axes(np.array(armature.matrix_world @ bone.head))
        for bone in armature.pose.bones
    }


@pytest.mark.parametrize("preset", ["T", "A", "RELAXED"])
def test_preset_leaves_the_pelvis(data: SceneData, preset: str) -> None:
    posing, rig = data.scene("posing"), data.build(0)
    before = data.scene("rig").read_pose(rig.armature)
    posing.set_preset(rig.armature, preset)
    after = data.scene("rig").read_pose(rig.armature)
    np.testing.assert_allclose(after.transl, before.transl, atol=1e-6)
    np.testing.assert_allclose(after.full_pose[:3], before.full_pose[:3], atol=1e-5)
    wanted = data.scene("preset_poses").preset_pose(preset)
    np.testing.assert_allclose(np.reshape(after.full_pose, (55, 3))[1:], wanted[1:], atol=1e-5)


def test_unknown_preset(data: SceneData) -> None:
    with pytest.raises(data.scene("errors").SceneError, match="Y"):
        data.scene("posing").set_preset(data.build(0).armature, "Y")


@pytest.mark.parametrize(("source", "target"), [("left", "right"), ("right", "left")])
def test_mirror_makes_a_mirror_image(data: SceneData, source: str, target: str) -> None:
    posing, rig = data.scene("posing"), data.build(0)
    pose = data.scene("pose_io").read_rotations(rig.armature)
    # An upright trunk: the mirror plane is the world's.
    for middle in ("pelvis", "spine1", "spine2", "spine3", "neck", "head"):
        pose[data.wire("skeleton").JOINT_INDEX[middle]] = 0.0
    data.scene("pose_io").write_rotations(rig.armature, pose)
    before = joints(rig.armature)
    posing.mirror(rig.armature, source)
    after = joints(rig.armature)
    for part in ("knee", "foot", "elbow", "wrist", "index3", "thumb3"):
        np.testing.assert_allclose(after[f"{source}_{part}"], before[f"{source}_{part}"], atol=1e-6)
        relative = after[f"{source}_{part}"] - after["pelvis"]
        image = after[f"{target}_{part}"] - after["pelvis"]
        # Left and right of this body differ a little.
        np.testing.assert_allclose(image, relative * [-1, 1, 1], atol=8e-3)


def test_edits_are_found_and_reset(data: SceneData) -> None:
    posing, rig = data.scene("posing"), data.build(0)
    armature = rig.armature
    assert posing.edited_joints(armature) == ()
    for name, degrees in (
        ("left_elbow", 30.0),
        ("left_wrist", -10.0),
        ("head", 0.4),
        ("neck", 0.1),
    ):
        bone = armature.pose.bones[name]
        turn = Quaternion((1.0, 0.0, 0.0), np.radians(degrees))
        bone.rotation_quaternion = bone.rotation_quaternion @ turn
    assert posing.edited_joints(armature) == ("head", "left_elbow", "left_wrist")
    reset = posing.reset_limb(armature, "left_elbow")
    assert {"left_elbow", "left_wrist", "left_thumb3"} <= set(reset)
    assert posing.edited_joints(armature) == ("head",)
    posing.mark_proposed(armature)
    assert posing.edited_joints(armature) == ()
    posing.reset_limb(armature, ["right_hip"], to="rest")
    rotations = data.scene("pose_io").read_rotations(armature)
    index = data.wire("skeleton").JOINT_INDEX
    np.testing.assert_allclose(rotations[[index["right_hip"], index["right_foot"]]], 0, atol=1e-5)
    assert "right_hip" in posing.edited_joints(armature)


def test_selected_bones_are_reset(data: SceneData) -> None:
    posing, armature = data.scene("posing"), data.build(0).armature
    error = data.scene("errors").SceneError
    for bone in armature.pose.bones:
        owner = bone if hasattr(bone, "select") else bone.bone
        owner.select = False
    with pytest.raises(error) as caught:
        posing.reset_limb(armature)
    assert caught.value.code == "nothing_selected"
    with pytest.raises(error) as caught:
        posing.reset_limb(armature, "tail")
    assert caught.value.code == "joint_unknown"
    knee = armature.pose.bones["right_knee"]
    (knee if hasattr(knee, "select") else knee.bone).select = True
    assert posing.selected_joints(armature) == ("right_knee",)
    assert posing.reset_limb(armature) == ("right_knee", "right_ankle", "right_foot")


def test_renamed_bones_are_still_joints(data: SceneData) -> None:
    posing, armature = data.scene("posing"), data.build(0).armature
    data.scene("bone_names").rename_bones(armature, "MIXAMO")
    posing.set_preset(armature, "A")
    assert "left_shoulder" in posing.edited_joints(armature)
    pose = np.reshape(data.scene("rig").read_pose(armature).full_pose, (55, 3))
    wanted = data.scene("preset_poses").preset_pose("A")
    np.testing.assert_allclose(pose[1:], wanted[1:], atol=1e-5)

"""The body rig against the backend's own skinning."""

import bpy
import numpy as np
import pytest
from scene_data import SceneData, assert_pose, body_axes, world_vertices

MILLIMETRE = 1e-3


def vertices(rig) -> np.ndarray:
    return body_axes(world_vertices(rig.mesh))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_body_lies_where_the_backend_poses_it(data: SceneData, index: int) -> None:
    rig = data.build(index)
    wanted = data.arrays[f"vertices_{index}"]
    assert np.linalg.norm(vertices(rig) - wanted, axis=1).max() < 0.05 * MILLIMETRE
    assert_pose(data, data.scene("rig").read_pose(rig.armature), data.pose(index))


def test_left_is_left_and_front_is_front(data: SceneData) -> None:
    rig = data.build()
    data.scene("pose_io").rest(rig.armature)
    bpy.context.view_layer.update()
    heads = {bone.name: rig.armature.matrix_world @ bone.head for bone in rig.armature.pose.bones}
    assert heads["left_wrist"].x > 0.3 > -0.3 > heads["right_wrist"].x
    assert heads["head"].z > 1.0 > 0.2 > heads["left_foot"].z
    assert heads["left_foot"].y < heads["left_ankle"].y - 0.05
    assert world_vertices(rig.mesh)[:, 2].min() == pytest.approx(0.0, abs=1e-5)


def test_every_pose_and_shape_can_be_applied_to_one_rig(data: SceneData) -> None:
    scene_rig = data.scene("rig")
    rig = data.build(0)
    for index in (1, 2, 0):
        scene_rig.apply_pose(rig.armature, data.pose(index))
        wanted = data.arrays[f"vertices_{index}"]
        assert np.linalg.norm(vertices(rig) - wanted, axis=1).max() < 0.05 * MILLIMETRE
        assert_pose(data, scene_rig.read_pose(rig.armature), data.pose(index))


def test_object_transform_counts_as_pose(data: SceneData) -> None:
    scene_rig = data.scene("rig")
    rig = data.build(0)
    before = vertices(rig)
    rig.armature.location = (1.0, -2.0, 0.5)
    rig.armature.rotation_euler = (0.2, -0.4, 0.9)
    rig.armature.scale = (1.1, 1.1, 1.1)
    moved = scene_rig.read_pose(rig.armature)
    after = vertices(rig)
    assert np.abs(after - before).max() > 0.5
    # The moved parameters, in a rig of their own, give the moved body.
    again = data.scene("rig").build_body(
        bpy.context, data.template, moved, data.camera, data.photo, "again"
    )
    assert np.linalg.norm(vertices(again) - after, axis=1).max() < 0.1 * MILLIMETRE
    scene_rig.apply_pose(rig.armature, data.pose(1))
    wanted = data.arrays["vertices_1"]
    assert np.linalg.norm(vertices(rig) - wanted, axis=1).max() < 0.1 * MILLIMETRE


def test_constraints_are_seen(data: SceneData) -> None:
    rig = data.build(0)
    before = data.scene("pose_io").read_rotations(rig.armature)
    constraint = rig.armature.pose.bones["left_elbow"].constraints.new("COPY_ROTATION")
    constraint.target, constraint.subtarget = rig.armature, "right_knee"
    after = data.scene("pose_io").read_rotations(rig.armature)
    changed = np.abs(after - before).max(1) > 1e-3
    names = np.array(data.wire("skeleton").JOINT_NAMES)[changed]
    assert "left_elbow" in names
    # What hangs below it keeps its own turn relative to it.
    assert set(names) == {"left_elbow"}
    constraint.mute = True
    np.testing.assert_allclose(
        data.scene("pose_io").read_rotations(rig.armature), before, atol=1e-5
    )


@pytest.mark.parametrize("mode", ["XYZ", "ZXY", "AXIS_ANGLE"])
def test_other_rotation_modes(data: SceneData, mode: str) -> None:
    scene_rig = data.scene("rig")
    rig = data.build(0)
    for bone in rig.armature.pose.bones:
        bone.rotation_mode = mode
    scene_rig.apply_pose(rig.armature, data.pose(1))
    assert_pose(data, scene_rig.read_pose(rig.armature), data.pose(1))


def test_hidden_rig_is_read_and_shaped(data: SceneData) -> None:
    scene_rig = data.scene("rig")
    rig = data.build(0)
    rig.armature.hide_set(True)
    bpy.context.view_layer.layer_collection.children[rig.collection.name].exclude = True
    assert_pose(data, scene_rig.read_pose(rig.armature), data.pose(0))
    scene_rig.apply_pose(rig.armature, data.pose(1))
    bpy.context.view_layer.update()
    assert rig.armature.name not in bpy.context.view_layer.objects
    bpy.context.view_layer.layer_collection.children[rig.collection.name].exclude = False
    rig.armature.hide_set(False)
    wanted = data.arrays["vertices_1"]
    assert np.linalg.norm(vertices(rig) - wanted, axis=1).max() < 0.05 * MILLIMETRE


def test_shape_keeps_pose_place_mode_and_selection(data: SceneData) -> None:
    scene_rig = data.scene("rig")
    rig = data.build(0)
    bpy.context.view_layer.objects.active = rig.armature
    bpy.ops.object.mode_set(mode="POSE")
    pelvis = data.scene("pose_io").pelvis_position(rig.armature)
    betas = list(data.pose(0).betas)
    scene_rig.set_shape(rig.armature, [betas[0] + 1.5, -betas[1]])
    wanted = [betas[0] + 1.5, -betas[1], *betas[2:]]
    np.testing.assert_allclose(scene_rig.read_betas(rig.armature), wanted, atol=1e-6)
    np.testing.assert_allclose(
        data.scene("pose_io").pelvis_position(rig.armature), pelvis, atol=1e-6
    )
    assert bpy.context.mode == "POSE"
    assert bpy.context.view_layer.objects.active == rig.armature
    pose = scene_rig.read_pose(rig.armature)
    np.testing.assert_allclose(pose.full_pose, data.pose(0).full_pose, atol=1e-4)
    fresh = scene_rig.build_body(bpy.context, data.template, pose, data.camera, data.photo, "fresh")
    assert np.linalg.norm(vertices(fresh) - vertices(rig), axis=1).max() < 0.05 * MILLIMETRE
    assert scene_rig.read_height_cm(rig.armature) == pytest.approx(
        scene_rig.read_height_cm(fresh.armature), abs=1e-3
    )


def test_height_scales_body_and_camera_together(data: SceneData) -> None:
    scene_rig, photo_camera = data.scene("rig"), data.scene("photo_camera")
    rig = data.build(0)
    image = bpy.data.images.new("photo", data.photo.width, data.photo.height)
    camera = photo_camera.show_photo(bpy.context.scene, image, rig.collection)
    photo_camera.match_camera(camera, data.camera, data.photo)
    before, seen = vertices(rig), _pixels(data, camera, world_vertices(rig.mesh)[::997])
    high = scene_rig.read_height_cm(rig.armature)
    scene_rig.set_height_cm(rig.armature, 1.25 * high)
    assert scene_rig.read_height_cm(rig.armature) == pytest.approx(1.25 * high)
    np.testing.assert_allclose(vertices(rig), 1.25 * before, atol=0.05 * MILLIMETRE)
    np.testing.assert_allclose(
        _pixels(data, camera, world_vertices(rig.mesh)[::997]), seen, atol=0.02
    )
    matched = scene_rig.read_camera(rig.armature)
    assert matched.pixels_per_metre == pytest.approx(data.camera.pixels_per_metre / 1.25)
    pose = scene_rig.read_pose(rig.armature)
    assert pose.scale == pytest.approx(1.25 * data.pose(0).scale, rel=1e-6)
    np.testing.assert_allclose(pose.transl, 1.25 * np.array(data.pose(0).transl), atol=1e-5)


def _pixels(data: SceneData, camera, points: np.ndarray) -> np.ndarray:
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    bpy.context.view_layer.update()
    seen = [world_to_camera_view(bpy.context.scene, camera, Vector(point)) for point in points]
    size = np.array([data.photo.width, data.photo.height])
    return np.array([[view.x, 1.0 - view.y] for view in seen]) * size


def test_a_refit_brings_its_own_camera(data: SceneData) -> None:
    scene_rig, photo_camera = data.scene("rig"), data.scene("photo_camera")
    rig = data.build(0)
    image = bpy.data.images.new("photo", data.photo.width, data.photo.height)
    camera = photo_camera.show_photo(bpy.context.scene, image, rig.collection)
    photo_camera.match_camera(camera, data.camera, data.photo)
    closer = data.wire("messages").Camera(pixels_per_metre=611.0, center_u=401.0, center_v=990.0)
    scene_rig.accept_proposal(rig.armature, data.pose(1), closer, data.photo)
    assert_pose(data, scene_rig.read_pose(rig.armature), data.pose(1))
    assert scene_rig.read_camera(rig.armature) == closer
    assert data.scene("posing").edited_joints(rig.armature) == ()
    points = world_vertices(rig.mesh)[::1999]
    wanted = [
        [401.0 + 611.0 * x, 990.0 - 611.0 * y] for x, y, _ in data.arrays["vertices_1"][::1999]
    ]
    np.testing.assert_allclose(_pixels(data, camera, points), wanted, atol=0.1)


def test_names_that_are_taken(data: SceneData) -> None:
    scene_rig = data.scene("rig")
    first, second = data.build(0), data.build(1)
    assert second.armature.name == "person body.001"
    assert scene_rig.skinned_mesh(second.armature) == second.mesh
    first.armature.name, second.armature.name = "swap", "person body"
    assert_pose(data, scene_rig.read_pose(second.armature), data.pose(1))
    assert set(scene_rig.find_rigs(bpy.context.scene)) == {first.armature, second.armature}


def test_what_makes_a_rig_pleasant(data: SceneData) -> None:
    armature = data.build(0).armature
    assert armature.show_in_front
    assert [group.name for group in armature.data.collections] == [
        "Body",
        "Left hand",
        "Right hand",
        "Face",
    ]
    assert sum(len(group.bones) for group in armature.data.collections) == 55
    assert {bone.rotation_mode for bone in armature.pose.bones} == {"QUATERNION"}
    free = [bone.name for bone in armature.pose.bones if not all(bone.lock_location)]
    assert free == ["pelvis"]
    assert armature.data.bones["left_knee"].color.palette != "DEFAULT"


def test_keyframes_hold_the_pose(data: SceneData) -> None:
    scene_rig = data.scene("rig")
    rig = data.build(0)
    scene = bpy.context.scene
    for frame, index in ((1, 0), (20, 1)):
        rig_pose = data.pose(index)
        data.scene("pose_io").write_rotations(
            rig.armature, np.array(rig_pose.full_pose).reshape(55, 3)
        )
        for bone in rig.armature.pose.bones:
            bone.keyframe_insert("rotation_quaternion", frame=frame)
    scene.frame_set(1)
    found = np.array(scene_rig.read_pose(rig.armature).full_pose)
    np.testing.assert_allclose(found, data.pose(0).full_pose, atol=1e-4)
    rig.armature.animation_data_clear()


def test_bad_input_is_told_in_words(data: SceneData) -> None:
    scene_rig = data.scene("rig")
    error = data.scene("errors").SceneError
    rig = data.build(0)
    empty = bpy.data.objects.new("empty", None)
    import attrs

    cases = [
        ("not_a_rig", lambda: scene_rig.read_pose(empty)),
        ("height_invalid", lambda: scene_rig.set_height_cm(rig.armature, -3)),
        ("height_invalid", lambda: scene_rig.set_height_cm(rig.armature, float("nan"))),
        ("pose_invalid", lambda: scene_rig.set_shape(rig.armature, [float("nan")])),
        ("pose_invalid", lambda: scene_rig.set_shape(rig.armature, [0.0] * 99)),
        (
            "pose_invalid",
            lambda: scene_rig.apply_pose(rig.armature, attrs.evolve(data.pose(0), model="smplx")),
        ),
        (
            "pose_invalid",
            lambda: scene_rig.apply_pose(rig.armature, attrs.evolve(data.pose(0), scale=0.0)),
        ),
        (
            "pose_invalid",
            lambda: scene_rig.apply_pose(
                rig.armature, attrs.evolve(data.pose(0), full_pose=(float("inf"),) * 165)
            ),
        ),
    ]
    for code, request in cases:
        with pytest.raises(error) as caught:
            request()
        assert caught.value.code == code
    stored = data.scene("stored")
    rig.armature[stored.RIG]["version"] = 99
    with pytest.raises(error, match="newer") as caught:
        scene_rig.read_pose(rig.armature)
    assert caught.value.code == "stored_newer"


def test_bones_that_the_artist_deleted_or_added(data: SceneData) -> None:
    scene_rig, error = data.scene("rig"), data.scene("errors").SceneError
    rig = data.build(0)
    with data.scene("armature").edit_bones(bpy.context, rig.armature) as bones:
        for name in ("left_index1", "left_index2", "left_index3", "jaw"):
            bones.remove(bones[name])
        extra = bones.new("hat")
        extra.head, extra.tail, extra.parent = (0, 0, 1.8), (0, 0, 2.0), bones["head"]
    index = data.wire("skeleton").JOINT_INDEX
    rotations = data.scene("pose_io").read_rotations(rig.armature)
    np.testing.assert_array_equal(rotations[[index["left_index2"], index["jaw"]]], 0.0)
    kept = [index["left_elbow"], index["right_index1"]]
    wanted = np.reshape(data.pose(0).full_pose, (55, 3))[kept]
    np.testing.assert_allclose(rotations[kept], wanted, atol=1e-5)
    scene_rig.set_shape(rig.armature, [1.0])
    scene_rig.set_height_cm(rig.armature, 2 * scene_rig.read_height_cm(rig.armature))
    assert rig.armature.data.bones["hat"].head_local.z == pytest.approx(3.6, abs=1e-5)
    data.scene("posing").set_preset(rig.armature, "A")
    with data.scene("armature").edit_bones(bpy.context, rig.armature) as bones:
        bones.remove(bones["pelvis"])
    for request in (scene_rig.read_pose, data.scene("posing").edited_joints):
        with pytest.raises(error, match="pelvis"):
            request(rig.armature)


def test_saved_and_opened_again(data: SceneData, tmp_path) -> None:
    scene_rig = data.scene("rig")
    rig = data.build(1)
    name = rig.armature.name
    path = tmp_path / "saved.blend"
    bpy.data.libraries.write(str(path), {rig.collection})
    for obj in (rig.mesh, rig.armature):
        bpy.data.objects.remove(obj)
    with bpy.data.libraries.load(str(path)) as (source, target):
        target.objects = list(source.objects)
    for obj in target.objects:
        bpy.context.scene.collection.objects.link(obj)
    armature = bpy.data.objects[name]
    assert_pose(data, scene_rig.read_pose(armature), data.pose(1))
    assert scene_rig.read_photo(armature) == data.photo
    assert scene_rig.read_camera(armature) == data.camera
    scene_rig.set_shape(armature, [1.0])
    assert scene_rig.read_betas(armature)[0] == 1.0

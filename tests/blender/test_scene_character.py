"""An imported character: skin, poses, colours, names, files."""

from pathlib import Path

import attrs
import bpy
import numpy as np
import pytest
from scene_data import SceneData, body_axes, box, world_vertices

MILLIMETRE = 1e-3


@pytest.fixture
def imported(data: SceneData):
    return data.scene("character").import_character(bpy.context, data.character())


def vertices(made) -> np.ndarray:
    return body_axes(world_vertices(made.mesh))


def test_stands_as_in_the_photo_and_at_rest(data: SceneData, imported) -> None:
    character, sent = data.scene("character"), data.character()
    assert np.linalg.norm(vertices(imported) - sent.vertices, axis=1).max() < 0.05 * MILLIMETRE
    character.to_rest_pose(imported.armature)
    assert np.abs(vertices(imported) - sent.rest_vertices).max() < 0.05 * MILLIMETRE
    assert np.ptp(vertices(imported)[:, 1]) == pytest.approx(1.8, abs=1e-4)
    character.to_rest_pose(imported.armature, "A")
    assert not np.allclose(vertices(imported), sent.rest_vertices, atol=0.1)
    character.to_photo_pose(imported.armature)
    assert np.linalg.norm(vertices(imported) - sent.vertices, axis=1).max() < 0.05 * MILLIMETRE


def test_is_a_rig_with_the_same_pose(data: SceneData, imported) -> None:
    rig, sent = data.scene("rig"), data.character()
    found = rig.read_pose(imported.armature)
    np.testing.assert_allclose(found.transl, sent.pose.transl, atol=1e-5)
    np.testing.assert_allclose(found.full_pose, sent.pose.full_pose, atol=1e-4)
    assert found.scale == pytest.approx(sent.pose.scale)
    assert rig.read_camera(imported.armature) == sent.camera
    assert data.scene("character").find_characters(bpy.context.scene) == [imported.armature]
    assert imported.armature not in rig.find_rigs(bpy.context.scene)


def test_a_bone_deforms_the_skin(data: SceneData, imported) -> None:
    before = vertices(imported)
    bone = imported.armature.pose.bones["left_elbow"]
    bone.rotation_quaternion = bone.rotation_quaternion @ bone.rotation_quaternion.__class__(
        (0, 0, 1), 1.0
    )
    moved = np.linalg.norm(vertices(imported) - before, axis=1) > 0.01
    joints = data.character().skin_indices[np.arange(len(moved)), 0]
    names = np.array(data.wire("skeleton").JOINT_NAMES)[joints]
    assert moved[names == "left_wrist"].all()
    assert not moved[np.isin(names, ["right_wrist", "head", "left_knee", "pelvis"])].any()


def test_place_names_and_selection(data: SceneData, imported) -> None:
    assert imported.collection.name == "person"
    assert imported.collection.name in bpy.context.scene.collection.children
    assert bpy.context.view_layer.objects.active == imported.armature
    assert imported.mesh.parent == imported.armature
    second = data.scene("character").import_character(
        bpy.context, data.character(), imported.collection
    )
    assert second.collection == imported.collection
    assert data.scene("rig").skinned_mesh(second.armature) == second.mesh
    assert not imported.armature.select_get()


def test_colours_and_texture(data: SceneData, imported) -> None:
    character, sent = data.scene("character"), data.character()
    mesh = imported.mesh.data
    colors = np.array([c.color_srgb[:3] for c in mesh.color_attributes.active_color.data])
    np.testing.assert_allclose(255 * colors, sent.colors, atol=0.6)
    uv = np.array([corner.vector for corner in mesh.uv_layers.active.uv])
    np.testing.assert_allclose(uv, sent.uv, atol=1e-6)
    (image,) = [n.image for n in mesh.materials[0].node_tree.nodes if n.type == "TEX_IMAGE"]
    assert image.packed_file is not None
    assert image.colorspace_settings.name == "sRGB"
    pixels = np.array(image.pixels[:]).reshape(2, 2, 4)
    # Blender's rows start at the bottom: blue, white; then red, green.
    np.testing.assert_allclose(pixels[0, 0, :3], [0, 0, 1], atol=1e-3)
    np.testing.assert_allclose(pixels[1, 0, :3], [1, 0, 0], atol=1e-3)
    assert character.has_texture(imported.armature)
    assert character.texture_shown(imported.armature)
    character.show_texture(imported.armature, False)
    assert not character.texture_shown(imported.armature)
    character.show_texture(imported.armature, True)
    assert character.texture_shown(imported.armature)


def test_without_a_texture(data: SceneData) -> None:
    character = data.scene("character")
    made = character.import_character(bpy.context, data.character(textured=False))
    assert not character.has_texture(made.armature)
    assert len(made.mesh.data.uv_layers) == 0
    with pytest.raises(data.scene("errors").SceneError) as caught:
        character.show_texture(made.armature, True)
    assert caught.value.code == "no_texture"


def test_broken_characters_leave_nothing(data: SceneData) -> None:
    whole = data.character()
    faces = whole.faces.copy()
    faces[5, 1] = len(whole.vertices)
    nan = whole.rest_vertices.copy()
    nan[3] = np.nan
    before = len(bpy.data.objects), len(bpy.data.meshes), len(bpy.data.collections)
    for change in (
        {"faces": faces},
        {"faces": faces[:0]},
        {"rest_vertices": nan},
        {"skin_indices": whole.skin_indices + np.uint8(40)},
        {"uv": whole.uv[1:]},
        {"texture": b"GIF89a"},
        {"colors": whole.colors[1:]},
    ):
        with pytest.raises(data.scene("errors").SceneError) as caught:
            data.scene("character").import_character(bpy.context, attrs.evolve(whole, **change))
        assert caught.value.code == "character_invalid"
    assert (len(bpy.data.objects), len(bpy.data.meshes), len(bpy.data.collections)) == before


def test_names_of_other_tools(data: SceneData, imported) -> None:
    names, tables = data.scene("bone_names"), data.scene("bone_tables")
    armature = imported.armature
    before = vertices(imported)
    weights = _weights(imported.mesh, 700)
    for scheme in (*tables.SCHEMES, "UNREAL", "SMPLX"):
        wanted = tables.names_of(scheme)
        names.rename_bones(armature, scheme)
        assert {bone.name for bone in armature.data.bones} == set(wanted.values())
        assert [g.name for g in imported.mesh.vertex_groups] == list(wanted.values())
        assert names.rename_bones(armature, scheme) == 0
        assert names.current_scheme(armature) == scheme
        np.testing.assert_allclose(vertices(imported), before, atol=1e-5)
    assert _weights(imported.mesh, 700) == weights


def _weights(mesh, vertex: int) -> dict[str, float]:
    groups = mesh.data.vertices[vertex].groups
    return {mesh.vertex_groups[g.group].name: g.weight for g in groups}


def test_animation_follows_new_names(data: SceneData, imported) -> None:
    armature = imported.armature
    bone = armature.pose.bones["left_elbow"]
    bone.keyframe_insert("rotation_quaternion", frame=1)
    bone.rotation_quaternion = (0.5, 0.5, 0.5, 0.5)
    bone.keyframe_insert("rotation_quaternion", frame=10)
    data.scene("bone_names").rename_bones(armature, "MIXAMO")
    bpy.context.scene.frame_set(10)
    turned = armature.pose.bones["mixamorig:LeftForeArm"].rotation_quaternion
    np.testing.assert_allclose(np.abs(turned), 0.5, atol=1e-6)


def test_a_name_that_is_taken(data: SceneData, imported) -> None:
    with data.scene("armature").edit_bones(bpy.context, imported.armature) as bones:
        extra = bones.new("thigh_l")
        extra.head, extra.tail = (0, 0, 0), (0, 0, 1)
    with pytest.raises(data.scene("errors").SceneError, match="thigh_l"):
        data.scene("bone_names").rename_bones(imported.armature, "UNREAL")
    assert data.scene("bone_names").current_scheme(imported.armature) == "SMPLX"


@pytest.mark.parametrize("pose", ["CURRENT", "REST"])
@pytest.mark.parametrize("kind", ["glb", "fbx"])
def test_files_come_back_as_they_were(
    data: SceneData, imported, tmp_path: Path, kind: str, pose: str
) -> None:
    export = data.scene("export")
    write = export.export_glb if kind == "glb" else export.export_fbx
    bpy.ops.object.mode_set(mode="POSE")
    path = write([imported.armature, imported.mesh], tmp_path / "person", pose=pose)
    assert path == tmp_path / f"person.{kind}"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert bpy.context.mode == "POSE"
    bpy.ops.object.mode_set(mode="OBJECT")
    if pose == "REST":
        data.scene("character").to_rest_pose(imported.armature)
    wanted = box([imported.mesh])
    before = set(bpy.data.objects)
    if kind == "glb":
        bpy.ops.import_scene.gltf(filepath=str(path))
    else:
        bpy.ops.import_scene.fbx(filepath=str(path))
    new = set(bpy.data.objects) - before
    skinned = [obj for obj in new if obj.type == "MESH" and obj.modifiers]
    np.testing.assert_allclose(box(skinned), wanted, atol=1e-4)
    (armature,) = [obj for obj in new if obj.type == "ARMATURE"]
    assert set(armature.data.bones.keys()) == set(imported.armature.data.bones.keys())
    assert tuple(armature.scale) == pytest.approx((1, 1, 1), abs=1e-5)
    (image,) = {
        n.image
        for obj in skinned
        for n in obj.data.materials[0].node_tree.nodes
        if n.type == "TEX_IMAGE"
    }
    assert tuple(image.size) == (2, 2)


def test_glb_is_metres_and_y_up(data: SceneData, imported, tmp_path: Path) -> None:
    import json
    import struct

    data.scene("character").to_rest_pose(imported.armature)
    path = data.scene("export").export_glb([imported.armature, imported.mesh], tmp_path / "p.glb")
    content = path.read_bytes()
    (length,) = struct.unpack("<I", content[12:16])
    document = json.loads(content[20 : 20 + length])
    assert [mesh["name"] for mesh in document["meshes"]] == ["person mesh"]
    (mesh,) = document["meshes"]
    (primitive,) = mesh["primitives"]
    bounds = document["accessors"][primitive["attributes"]["POSITION"]]
    assert bounds["max"][1] - bounds["min"][1] == pytest.approx(1.8, abs=1e-3)
    assert bounds["min"][1] == pytest.approx(0, abs=1e-3)
    assert "JOINTS_0" in primitive["attributes"]
    assert len(document["skins"][0]["joints"]) == 55


def test_vertex_colours_are_exported(data: SceneData, tmp_path: Path) -> None:
    made = data.scene("character").import_character(bpy.context, data.character(textured=False))
    path = data.scene("export").export_glb([made.armature, made.mesh], tmp_path / "p.glb")
    assert b"COLOR_0" in path.read_bytes()


def test_nothing_is_overwritten_or_left_half_written(
    data: SceneData, imported, tmp_path: Path
) -> None:
    export, error = data.scene("export"), data.scene("errors").SceneError
    objects = [imported.armature, imported.mesh]
    path = tmp_path / "there.glb"
    path.write_bytes(b"mine")
    with pytest.raises(error) as caught:
        export.export_glb(objects, path)
    assert caught.value.code == "file_exists"
    assert path.read_bytes() == b"mine"
    export.export_glb(objects, path, overwrite=True)
    assert path.read_bytes()[:4] == b"glTF"
    with pytest.raises(error) as caught:
        export.export_fbx(objects, tmp_path / "missing" / "x.fbx")
    assert caught.value.code == "folder_missing"
    (tmp_path / "folder.glb").mkdir()
    with pytest.raises(error) as caught:
        export.export_glb(objects, tmp_path / "folder.glb", overwrite=True)
    assert caught.value.code == "export_failed"
    with pytest.raises(error) as caught:
        export.export_fbx([imported.armature], tmp_path / "x.fbx")
    assert caught.value.code == "nothing_to_export"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.glb", "there.glb"]

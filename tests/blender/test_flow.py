"""The artist's way from a photo to files for other programs, against a real backend. Tests in order."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
import pytest
from artist import Artist, evaluated_vertices, mesh_of
from mathutils import Quaternion


@pytest.fixture(scope="module")
def artist(addon: ModuleType, backend: Artist) -> Iterator[Artist]:
    """With the example photo chosen, in a scene of their own."""
    before = bpy.context.window.scene
    scene = bpy.data.scenes.new("flow")
    bpy.context.window.scene = scene
    backend.open_photo()
    yield backend
    bpy.context.window.scene = before


def test_the_panel_says_who_computes(artist: Artist) -> None:
    welcome = artist.session.link.welcome
    assert welcome.server_version
    assert "cpu" in welcome.device.lower() or "cuda" in welcome.device.lower()
    assert welcome.providers


def test_the_body_lies_over_the_person(artist: Artist) -> None:
    rig = artist.estimate()
    assert len(rig.data.bones) == 55
    assert len(rig.pose.bones) == 55
    camera = bpy.context.scene.camera
    assert camera.data.type == "ORTHO"
    assert camera.data.background_images[0].image == artist.settings.photo
    width, height = artist.settings.photo.size
    low, high = pixel_box(evaluated_vertices(mesh_of(rig)), width, height)
    # The person's own box in the example photo, read off the picture.
    assert np.abs(low - PERSON_LOW * (width, height)).max() < 0.04 * height, (low, high)
    assert np.abs(high - PERSON_HIGH * (width, height)).max() < 0.04 * height, (low, high)


PERSON_LOW = np.array([0.235, 0.03])
PERSON_HIGH = np.array([0.765, 0.95])


def pixel_box(points: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest pixel (u, v down) of world points, seen by the scene's camera."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    scene = bpy.context.scene
    seen = [world_to_camera_view(scene, scene.camera, Vector(point)) for point in points[::7]]
    pixels = np.array([(view.x * width, (1 - view.y) * height) for view in seen])
    return pixels.min(0), pixels.max(0)


def test_a_refit_keeps_what_the_artist_turned(artist: Artist) -> None:
    rig = artist.settings.rig
    bone = rig.pose.bones["left_elbow"]
    bone.rotation_mode = "QUATERNION"
    bone.rotation_quaternion = Quaternion((1, 0, 0), 0.7) @ bone.rotation_quaternion
    bpy.context.view_layer.update()
    posing, rigs = artist.part("scene.posing"), artist.part("scene.rig")
    assert "left_elbow" in posing.edited_joints(rig)
    before = np.array(rigs.read_pose(rig).full_pose).reshape(55, 3)

    assert bpy.ops.humanref.refit() == {"FINISHED"}
    artist.wait(lambda: not artist.session.book.active(), "the re-fit")
    artist.wait(lambda: posing.edited_joints(rig) == (), "the new pose")

    after = np.array(rigs.read_pose(rig).full_pose).reshape(55, 3)
    elbow = rigs_index(artist)["left_elbow"]
    assert np.abs(after[elbow] - before[elbow]).max() < 1e-3
    assert artist.settings.rig == rig


def rigs_index(artist: Artist) -> dict[str, int]:
    return dict(artist.part("shared_protocol.skeleton").JOINT_INDEX)


def test_the_mesh_grows_and_becomes_a_character(artist: Artist) -> None:
    artist.settings.preset = "draft"
    objects = set(bpy.context.scene.objects)
    job_id = artist.generate()
    live = artist.wait(artist.live_mesh, "a preview", 90)
    name = live.name
    assert len(live.data.polygons) > 500
    assert live.data.color_attributes
    stages = set()

    def done() -> bool:
        stages.add(artist.session.book.get(job_id).stage)
        return bool(artist.characters())

    artist.wait(done, "the character", 180)
    assert len(stages) > 2, stages
    assert artist.live_mesh() is None
    assert name not in bpy.data.objects
    character = artist.characters()[0]
    mesh = mesh_of(character)
    assert {o.name for o in bpy.context.scene.objects} - {o.name for o in objects} >= {
        character.name,
        mesh.name,
    }
    assert len(character.data.bones) == 55
    assert len(mesh.data.polygons) > 5000
    assert len(mesh.vertex_groups) == 55
    assert mesh.data.materials
    assert any("photo" in collection.name for collection in mesh.users_collection)


def test_the_character_stands_where_the_body_stood(artist: Artist) -> None:
    body = evaluated_vertices(mesh_of(artist.settings.rig))
    character = evaluated_vertices(mesh_of(artist.characters()[0]))
    width, height = artist.settings.photo.size
    low, high = pixel_box(character, width, height)
    body_low, body_high = pixel_box(body, width, height)
    # Clothes and hair stand out from the body by a few per cent of the picture.
    assert np.abs(low - body_low).max() < 0.05 * height
    assert np.abs(high - body_high).max() < 0.05 * height


def test_a_bone_moves_its_own_part_of_the_mesh(artist: Artist) -> None:
    character = artist.characters()[0]
    mesh = mesh_of(character)
    before = evaluated_vertices(mesh)
    bone = character.pose.bones["left_shoulder"]
    bone.rotation_mode = "QUATERNION"
    kept = bone.rotation_quaternion.copy()
    bone.rotation_quaternion = Quaternion((0, 0, 1), 0.6) @ kept
    moved = np.linalg.norm(evaluated_vertices(mesh) - before, axis=1)
    bone.rotation_quaternion = kept
    assert moved.max() > 0.2
    low = before[:, 2] < before[:, 2].min() + 0.3
    assert moved[low].max() < 1e-4
    assert 0.02 < (moved > 0.01).mean() < 0.4


def test_rest_pose_and_back(artist: Artist) -> None:
    character = artist.characters()[0]
    mesh = mesh_of(character)
    posed = evaluated_vertices(mesh)
    assert bpy.ops.humanref.rest_pose(pose="T") == {"FINISHED"}
    size = np.ptp(evaluated_vertices(mesh), axis=0)
    # As wide as tall, in a T; the default height and its hair and soles.
    assert 1.70 < size[2] < 1.90
    assert 0.85 < size[0] / size[2] < 1.15
    assert bpy.ops.humanref.photo_pose() == {"FINISHED"}
    assert np.abs(evaluated_vertices(mesh) - posed).max() < 1e-4


@pytest.mark.parametrize("kind", ["glb", "fbx"])
def test_files_come_back_the_same_size(artist: Artist, kind: str, tmp_path: Path) -> None:
    mesh = mesh_of(artist.characters()[0])
    wanted = bounds(evaluated_vertices(mesh))
    path = tmp_path / f"character.{kind}"
    export = getattr(bpy.ops.humanref, f"export_{kind}")
    assert export(filepath=str(path)) == {"FINISHED"}
    assert path.stat().st_size > 100_000
    with pytest.raises(RuntimeError, match=r"file_exists|exists"):
        export(filepath=str(path))
    artist.session.dismiss_problem()

    before, scene = set(bpy.data.objects), bpy.context.scene
    other = bpy.data.scenes.new(f"back from {kind}")
    bpy.context.window.scene = other
    try:
        if kind == "glb":
            bpy.ops.import_scene.gltf(filepath=str(path))
        else:
            bpy.ops.import_scene.fbx(filepath=str(path))
        fresh = set(bpy.data.objects) - before
        armatures = [o for o in fresh if o.type == "ARMATURE"]
        assert len(armatures) == 1
        assert len(armatures[0].data.bones) == 55
        meshes = [o for o in fresh if o.type == "MESH" and o.find_armature() == armatures[0]]
        assert len(meshes) == 1
        assert np.abs(bounds(evaluated_vertices(meshes[0])) - wanted).max() < 0.005
    finally:
        bpy.context.window.scene = scene
        for item in set(bpy.data.objects) - before:
            bpy.data.objects.remove(item)


def bounds(points: np.ndarray) -> np.ndarray:
    """(2, 3) smallest and largest corner."""
    return np.stack([points.min(0), points.max(0)])


def test_an_older_result_comes_from_the_list(artist: Artist) -> None:
    job = next(job for job in artist.session.book.all() if job.kind == "generate")
    count = len(artist.characters())
    assert bpy.ops.humanref.import_result(job_id=job.job_id) == {"FINISHED"}
    artist.wait(lambda: len(artist.characters()) == count + 1, "the older result", 30)


def test_cancel_stops_the_job_and_takes_the_live_mesh_away(artist: Artist) -> None:
    artist.settings.preset = "standard"
    job_id = artist.generate()
    artist.wait(artist.live_mesh, "a preview", 90)
    assert bpy.ops.humanref.cancel_job(job_id=job_id) == {"FINISHED"}
    artist.wait(lambda: artist.session.book.get(job_id).state == "cancelled", "the end", 20)
    assert artist.live_mesh() is None

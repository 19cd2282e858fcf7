"""What arrives finds its scene, whatever the artist does meanwhile: undo, delete, edit, load a file."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from postman import Part, Postman
from scene_data import SceneData

EXAMPLE = Path(__file__).parents[2] / "examples" / "photo.png"


@pytest.fixture
def part(addon: ModuleType) -> Part:
    return lambda name: importlib.import_module(f"{addon.__name__}.{name}")


@pytest.fixture
def jobs(part: Part) -> Iterator[Any]:
    """The scenes' jobs, emptied afterwards."""
    jobs = part("session.current").current_scene_jobs()
    yield jobs
    for job in jobs.open_jobs():
        jobs.forget(job.job_id)
    jobs.reload()


@pytest.fixture
def postman(part: Part, jobs: Any, data: SceneData) -> Postman:
    return Postman(part, jobs, data)


def live() -> list[Any]:
    return [o for o in bpy.context.scene.objects if "(growing)" in o.name]


def hidden(obj: Any) -> bool:
    return bool(obj.hide_get(view_layer=bpy.context.scene.view_layers[0]))


def test_the_whole_way_in_one_collection(postman: Postman) -> None:
    settings = bpy.context.scene.humanref
    postman.ask("e", "estimate")
    postman.pose("e")
    assert settings.rig is not None
    assert settings.caption == "a person in blue"
    postman.ask("g", "generate")
    postman.preview("g")
    assert len(live()) == 1
    assert hidden(settings.rig)
    postman.result("g")
    assert live() == []
    assert len(postman.characters()) == 1
    assert hidden(settings.rig)
    collections = bpy.context.scene.collection.children
    assert [collection.name.partition(".")[0] for collection in collections] == ["person"]
    assert not bpy.context.scene.collection.objects


def test_the_same_again_makes_nothing_twice(postman: Postman) -> None:
    postman.ask("g", "generate")
    postman.result("g")
    with pytest.raises(postman.part("session.problem").ProblemError):
        postman.result("nobody waits for this")
    postman.preview("g")
    postman.arrivals.after_load()
    postman.result("g")
    assert len(postman.characters()) == 1
    assert live() == []


def test_a_refit_poses_the_rig_that_is_there(postman: Postman) -> None:
    postman.ask("e", "estimate")
    postman.pose("e", 0)
    rig = bpy.context.scene.humanref.rig
    postman.ask("r", "estimate", rig_name=rig.name)
    postman.pose("r", 1)
    assert bpy.context.scene.humanref.rig == rig
    pose = postman.part("scene.rig").read_pose(rig)
    assert np.allclose(pose.full_pose, postman.data.pose(1).full_pose, atol=1e-4)
    assert postman.part("scene.posing").edited_joints(rig) == ()


def test_a_refit_whose_rig_was_deleted_makes_a_new_one(postman: Postman) -> None:
    postman.ask("e", "estimate")
    postman.pose("e")
    rig = bpy.context.scene.humanref.rig
    name = rig.name
    bpy.data.objects.remove(rig)
    assert bpy.context.scene.humanref.rig is None
    postman.ask("r", "estimate", rig_name=name)
    postman.pose("r")
    assert bpy.context.scene.humanref.rig is not None


def test_everything_deleted_while_it_grows(postman: Postman) -> None:
    postman.ask("e", "estimate")
    postman.pose("e")
    postman.ask("g", "generate")
    postman.preview("g")
    for obj in list(bpy.context.scene.objects):
        bpy.data.objects.remove(obj)
    for collection in list(bpy.context.scene.collection.children):
        bpy.data.collections.remove(collection)
    postman.preview("g", 2)
    assert len(live()) == 1
    postman.result("g")
    assert live() == []
    assert len(postman.characters()) == 1


def test_a_cancelled_job_leaves_the_scene_as_it_was(postman: Postman) -> None:
    postman.ask("e", "estimate")
    postman.pose("e")
    before = {o.name for o in bpy.context.scene.objects}
    postman.ask("g", "generate")
    postman.preview("g")
    postman.arrivals.end("g")
    assert {o.name for o in bpy.context.scene.objects} == before
    assert not hidden(bpy.context.scene.humanref.rig)
    assert postman.jobs.open_jobs() == []


def test_an_import_that_fails_brings_the_body_back(postman: Postman) -> None:
    # From the extension's wheels: undo_story.py imports this file before it has them.
    import attrs

    postman.ask("e", "estimate")
    postman.pose("e")
    rig = bpy.context.scene.humanref.rig
    postman.ask("one", "generate")
    postman.result("one")
    (first,) = postman.characters()
    rig.hide_set(False)
    postman.ask("g", "generate")
    postman.preview("g")
    assert hidden(rig)
    assert hidden(first)
    whole = postman.data.character()
    broken = attrs.evolve(whole, skin_weights=whole.skin_weights[:-1])
    postman.data.character = lambda: broken
    with pytest.raises(postman.part("session.problem").ProblemError):
        postman.result("g")
    assert live() == []
    assert not hidden(rig)
    assert not hidden(first)
    assert postman.characters() == [first]


def test_a_body_that_the_artist_hid_stays_hidden(postman: Postman) -> None:
    postman.ask("e", "estimate")
    postman.pose("e")
    assert bpy.ops.humanref.show_body(shown=False) == {"FINISHED"}
    postman.ask("g", "generate")
    postman.preview("g")
    postman.arrivals.end("g")
    assert hidden(bpy.context.scene.humanref.rig)


def test_variants_of_a_person_do_not_stand_in_one_place(postman: Postman) -> None:
    postman.ask("one", "generate")
    postman.result("one")
    first = postman.characters()[0]
    postman.ask("two", "generate")
    postman.preview("two")
    assert hidden(first)
    postman.arrivals.end("two")
    assert not hidden(first)
    postman.ask("three", "generate")
    postman.preview("three")
    postman.result("three")
    second = next(found for found in postman.characters() if found != first)
    assert hidden(first)
    assert not hidden(second)


def test_edit_mode_and_other_scenes_are_not_disturbed(postman: Postman, scene: Any) -> None:
    postman.ask("g", "generate")
    assert postman.arrivals.obstacle("g") == ""
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.object.mode_set(mode="EDIT")
    assert "mode" in postman.arrivals.obstacle("g")
    assert postman.arrivals.can_preview("g")
    bpy.ops.object.mode_set(mode="OBJECT")
    other = bpy.data.scenes.new("other")
    try:
        bpy.context.window.scene = other
        assert scene.name in postman.arrivals.obstacle("g")
        assert not postman.arrivals.can_preview("g")
    finally:
        bpy.context.window.scene = scene
        bpy.data.scenes.remove(other)
    assert postman.arrivals.obstacle("nobody waits for this")


def test_pose_mode_is_left_for_a_result(postman: Postman) -> None:
    postman.ask("e", "estimate")
    postman.pose("e")
    bpy.context.view_layer.objects.active = bpy.context.scene.humanref.rig
    bpy.ops.object.mode_set(mode="POSE")
    postman.ask("g", "generate")
    assert postman.arrivals.obstacle("g") == ""
    postman.result("g")
    assert len(postman.characters()) == 1


def test_undo_and_redo_neither_lose_a_job_nor_leave_a_mesh(addon: ModuleType) -> None:
    story = Path(__file__).with_name("undo_story.py")
    done = subprocess.run([sys.executable, str(story)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "well" in done.stdout


def test_a_saved_file_remembers_what_it_waits_for(
    part: Part, jobs: Any, data: SceneData, tmp_path: Path
) -> None:
    postman = Postman(part, jobs, data)
    postman.ask("e", "estimate")
    postman.pose("e")
    postman.ask("g", "generate")
    postman.preview("g")
    name = bpy.context.scene.name
    path = tmp_path / "work.blend"
    # A copy, so that this Blender's own file stays as it is.
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True)
    with bpy.data.libraries.load(str(path)) as (there, here):
        here.scenes = [scene for scene in there.scenes if scene == name]
    loaded = here.scenes[0]
    try:
        stored = {job.job_id: job.delivered for job in loaded.humanref.jobs}
        assert stored == {"e": True, "g": False}
        assert loaded.humanref.version == part("session.scene_jobs").STORED_VERSION
        assert loaded.humanref.rig is not None
    finally:
        bpy.data.scenes.remove(loaded)
    postman.arrivals.end("g")


def test_the_photo_goes_out_as_it_is_and_what_has_no_file_as_a_png(
    part: Part, data: SceneData, tmp_path: Path
) -> None:
    source = part("session.photo_file").photo_source
    image = bpy.data.images.load(str(EXAMPLE))
    assert source(image) == (EXAMPLE, "photo.png")
    image.pack()
    assert source(image) == (EXAMPLE.read_bytes(), "photo.png")
    made = bpy.data.images.new("made", 8, 6)
    made.pixels = [0.5] * (8 * 6 * 4)
    content, name = source(made)
    assert name == "made.png"
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert bpy.data.images.get("made") == made
    gone = tmp_path / "gone.png"
    gone.write_bytes(EXAMPLE.read_bytes())
    lost = bpy.data.images.load(str(gone))
    gone.unlink()
    with pytest.raises(part("session.problem").ProblemError) as caught:
        source(lost)
    assert caught.value.problem.code == "photo_unreadable"


def test_the_sliders_move_the_rig(postman: Postman) -> None:
    settings = bpy.context.scene.humanref
    settings.height_cm = 180.0
    assert settings.height_cm == pytest.approx(180.0)
    settings.shape[0] = 1.0
    assert settings.shape[0] == 0.0
    postman.ask("e", "estimate")
    postman.pose("e")
    read = postman.part("scene.rig")
    betas = read.read_betas(settings.rig)
    assert np.allclose(settings.shape, betas[: len(settings.shape)], atol=1e-5)
    settings.shape[4] = 1.5
    assert read.read_betas(settings.rig)[4] == pytest.approx(1.5, abs=1e-5)
    settings.height_cm = 162.0
    assert read.read_height_cm(settings.rig) == pytest.approx(162.0, abs=0.01)
    assert bpy.ops.humanref.reset_shape() == {"FINISHED"}
    assert np.allclose(settings.shape, 0.0, atol=1e-6)


def test_another_armature_can_be_used(postman: Postman) -> None:
    postman.ask("e", "estimate")
    postman.pose("e", 0)
    postman.ask("f", "estimate")
    postman.pose("f", 1)
    settings = bpy.context.scene.humanref
    first, second = sorted(postman.part("scene.rig").find_rigs(bpy.context.scene), key=str)
    assert settings.rig in (first, second)
    other = first if settings.rig == second else second
    assert hidden(other)
    other.hide_set(False)
    bpy.context.view_layer.objects.active = other
    assert bpy.ops.humanref.use_armature() == {"FINISHED"}
    assert settings.rig == other
    assert not bpy.ops.humanref.use_armature.poll()


def test_a_result_that_one_scene_has_comes_into_another_as_well(postman: Postman) -> None:
    postman.ask("g", "generate")
    postman.result("g")
    first = bpy.context.window.scene
    # Before and after the first one in Blender's order, which goes by name.
    others = [bpy.data.scenes.new(name) for name in ("000 first of all", "zzz last of all")]
    try:
        for scene in others:
            bpy.context.window.scene = scene
            postman.ask("g", "generate")
            postman.result("g")
            assert len(postman.characters()) == 1
    finally:
        bpy.context.window.scene = first
        for scene in others:
            bpy.data.scenes.remove(scene)


def test_another_photo_puts_the_first_person_aside_and_back(
    postman: Postman, tmp_path: Path
) -> None:
    second = tmp_path / "second.png"
    second.write_bytes(EXAMPLE.read_bytes())
    scene, settings = bpy.context.scene, bpy.context.scene.humanref
    assert bpy.ops.humanref.open_photo(filepath=str(EXAMPLE)) == {"FINISHED"}
    first_photo, first_camera = settings.photo, scene.camera
    job = postman.part("session.scene_jobs").SceneJob("e", "estimate", "photo.png")
    postman.jobs.remember(scene, job)
    postman.pose("e")
    rig = settings.rig
    assert rig.visible_get()
    assert bpy.ops.humanref.open_photo(filepath=str(second)) == {"FINISHED"}
    assert scene.camera != first_camera
    assert settings.rig is None
    bpy.context.view_layer.update()
    assert not rig.visible_get()
    # Chosen from the menu of images instead of the file browser.
    settings.photo = first_photo
    assert scene.camera == first_camera
    assert settings.rig == rig
    bpy.context.view_layer.update()
    assert rig.visible_get()
    assert len([o for o in scene.objects if o.type == "CAMERA"]) == 2


def test_a_collection_of_the_artist_is_not_taken_over(postman: Postman) -> None:
    backup = bpy.data.collections.new("person.backup")
    bpy.context.scene.collection.children.link(backup)
    postman.ask("g", "generate")
    postman.result("g")
    assert not backup.objects
    (character,) = postman.characters()
    assert [c.name.partition(".")[0] for c in character.users_collection] == ["person"]


def test_two_photos_of_one_name_are_two_people(postman: Postman, tmp_path: Path) -> None:
    scene, settings = bpy.context.scene, bpy.context.scene.humanref
    requests = postman.part("ui.job_requests")
    jobs = postman.part("session.jobs")
    places = []
    for folder in ("one", "two"):
        path = tmp_path / folder / "person.png"
        path.parent.mkdir()
        path.write_bytes(EXAMPLE.read_bytes())
        assert bpy.ops.humanref.open_photo(filepath=str(path)) == {"FINISHED"}
        places.append(scene.camera.users_collection[0])
        requests._remember(scene, jobs.Job(folder, "estimate", "person.png"))
    assert places[0] != places[1]
    places[0].name = "renamed by the artist"
    # The first one's body comes while the second photo is shown.
    for job_id, place in zip(("one", "two"), places, strict=True):
        postman.pose(job_id)
        assert settings.rig.users_collection[0] == place
    assert len(scene.collection.children) == 2
    # From the list, where nobody says which: its content decides.
    postman.ask("listed", "generate")
    postman.result("listed")
    assert postman.characters()[0].users_collection[0] == places[1]

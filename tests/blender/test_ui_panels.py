"""The panels draw in every state, say what is the case, and keep to Blender's customs."""

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import bpy
import pytest
from layout_twin import LayoutTwin

EXAMPLE = Path(__file__).parents[2] / "examples" / "photo.png"
Part = Callable[[str], ModuleType]


@pytest.fixture
def part(addon: ModuleType) -> Part:
    return lambda name: importlib.import_module(f"{addon.__name__}.{name}")


@pytest.fixture
def session(part: Part) -> Iterator[Any]:
    """The session with a clean slate, put back afterwards."""
    session = part("session.current").current_session()
    before = session.link, session.problem
    yield session
    session.link, session.problem = before
    for job in session.book.all():
        if job.job_id.startswith("panel-"):
            session.book.drop(job.job_id)


def draw(part: Part) -> list[str]:
    """Every text of the sidebar's tab."""
    twin = LayoutTwin()
    context = SimpleNamespace(
        scene=bpy.context.scene,
        window_manager=bpy.context.window_manager,
        view_layer=bpy.context.view_layer,
        # In background mode the interface has no size at all.
        preferences=SimpleNamespace(
            addons=bpy.context.preferences.addons, system=SimpleNamespace(ui_scale=1.0)
        ),
        region=None,
        mode="OBJECT",
    )
    for name in dir(bpy.types):
        kind = getattr(bpy.types, name)
        if not name.startswith("HUMANREF_PT_") or name == "HUMANREF_PT_presets":
            continue
        panel = SimpleNamespace(layout=twin, _draw_buttons=getattr(kind, "_draw_buttons", None))
        if not hasattr(kind, "poll") or kind.poll(context):
            kind.draw(panel, context)
    return twin.said


def welcome(part: Part, **changed: Any) -> Any:
    messages = part("shared_protocol.messages")
    facts: dict[str, Any] = {
        "session": "s",
        "server": "humanref",
        "server_version": "9.8.7",
        "protocol": "1.0",
        "limits": part("shared_protocol.limits").Limits(),
        "device": "cpu: a test",
        "memory_mb": 2048,
        "providers": {"segmentation": "mediapipe"},
        "guidances": ("ref-sds", "mirror", "none"),
    }
    return messages.Welcome(**facts | changed)


STATES = ("off", "starting", "connecting", "connected", "lost", "refused", "stopping")


@pytest.mark.parametrize("state", STATES)
def test_every_state_of_the_line_is_drawn(part: Part, session: Any, scene: Any, state: str) -> None:
    told = welcome(part) if state in ("connected", "lost") else None
    session.link = part("session.link").Link(state, "", told)
    said = draw(part)
    if told is not None:
        assert "9.8.7 (protocol 1.0)" in said
        assert "mediapipe" in said
    assert ("CPU" in said) == (state == "connected")


def test_a_problem_is_shown_with_its_hint_and_code(part: Part, session: Any, scene: Any) -> None:
    session.problem = part("session.problem").Problem("disk_full", "It is full.", "Make room.")
    said = draw(part)
    assert {"It is full.", "Make room.", "[disk_full]"} <= set(said)


def test_a_running_job_has_a_bar_with_stage_and_time_left(
    part: Part, session: Any, scene: Any
) -> None:
    jobs, scene_jobs = part("session.jobs"), part("session.current").current_scene_jobs()
    job = jobs.Job(
        *("panel-1", "generate", "a.png", "running"),
        stage="optimization",
        step=40,
        total=160,
        eta=83.0,
    )
    session.book.add(job)
    memory = part("session.scene_jobs").SceneJob("panel-1", "generate", "a.png")
    scene_jobs.remember(scene, memory)
    part("ui.refresh").sync_job_lines()
    said = draw(part)
    assert "Sculpting  ·  1 min 23 s left" in said
    assert "Queue Another" in said
    # In sight whatever the window's height: first in step 4, and in step 1 above all others.
    assert said.count("Sculpting  ·  1 min 23 s left") == 2
    step_4 = said.index("Queue Another")
    assert "Sculpting  ·  1 min 23 s left" in said[:step_4]
    session.book.change("panel-1", state="done", warnings=("The feet are cut off.",))
    state = bpy.context.window_manager.humanref
    state.job_index = [line.name for line in state.jobs].index("panel-1")
    assert "The feet are cut off." in draw(part)


def test_all_lines_of_the_job_list_are_drawn(part: Part, session: Any) -> None:
    jobs = part("session.jobs")
    for state in (*jobs.ACTIVE, "done", "failed", "cancelled"):
        session.book.add(
            jobs.Job(f"panel-{state}", "estimate", "a.png", state, position=2, total=3)
        )
    part("ui.refresh").sync_job_lines()
    twin = LayoutTwin()
    for line in bpy.context.window_manager.humanref.jobs:
        kind = bpy.types.HUMANREF_UL_jobs
        kind.draw_item(None, bpy.context, twin, None, line, 0, None, "")
    assert "Waiting (2 before it)" in twin.said


def test_the_photo_has_its_thumbnail_and_the_rig_its_tools(
    part: Part, session: Any, scene: Any
) -> None:
    assert bpy.ops.humanref.open_photo(filepath=str(EXAMPLE)) == {"FINISHED"}
    said = draw(part)
    assert "The pose will be estimated" in said
    assert "Relaxed" not in said


def test_step_5_names_whose_pose_it_sets(part: Part, session: Any, data: Any) -> None:
    assert "Character Pose" not in draw(part)
    part("scene.character").import_character(bpy.context, data.character())
    said = draw(part)
    assert said.index("Character Pose") < said.index("T-Pose")


def test_a_rig_without_its_pelvis_is_drawn_and_told(part: Part, session: Any, data: Any) -> None:
    rig = data.build(0).armature
    bpy.context.scene.humanref.rig = rig
    assert "No bone changed by you" in draw(part)
    with part("scene.armature").edit_bones(bpy.context, rig) as bones:
        bones.remove(bones["pelvis"])
    assert any("pelvis" in words for words in draw(part))


def test_preferences_say_what_offline_means(part: Part) -> None:
    stored = bpy.context.preferences.addons[part("names").ROOT].preferences
    kind = part("ui.preferences").HUMANREF_AP_preferences
    try:
        for location in ("local", "remote"):
            stored.location = location
            twin = LayoutTwin()
            panel = SimpleNamespace(layout=twin, location=location)
            panel.bl_rna = stored.bl_rna
            for name in ("command", "connection_file", "attach", "remote_file", "key_file"):
                setattr(panel, name, getattr(stored, name))
            kind.draw(panel, bpy.context)
            offline = "Blender is offline: another computer cannot be reached" in twin.said
            assert offline == (location == "remote" and not bpy.app.online_access)
    finally:
        stored.location = "local"


def test_names_follow_blenders_customs(part: Part) -> None:
    for kind in part("registration").CLASSES:
        base = next(
            letters
            for parent, letters in (
                (bpy.types.Operator, "OT"),
                (bpy.types.Panel, "PT"),
                (bpy.types.UIList, "UL"),
                (bpy.types.FileHandler, "FH"),
                (bpy.types.AddonPreferences, "AP"),
                (bpy.types.PropertyGroup, "PG"),
            )
            if issubclass(kind, parent)
        )
        assert re.fullmatch(rf"HUMANREF_{base}_[a-z_]+", kind.__name__)
        if base == "OT":
            assert kind.bl_idname == f"humanref.{kind.__name__.removeprefix('HUMANREF_OT_')}"


def test_every_property_has_a_tooltip(part: Part) -> None:
    kinds = [
        kind
        for kind in part("registration").CLASSES
        if issubclass(kind, bpy.types.PropertyGroup | bpy.types.AddonPreferences)
    ]
    assert len(kinds) >= 4
    for kind in kinds:
        own = set(kind.__annotations__)
        for prop in kind.bl_rna.properties:
            if prop.identifier in own and prop.type != "COLLECTION":
                assert prop.description, f"{kind.__name__}.{prop.identifier}"


def test_grey_buttons_say_why(part: Part, session: Any, scene: Any) -> None:
    session.link = part("session.link").Link("off")
    for verb in ("estimate", "refit", "generate", "set_pose", "rest_pose", "export_glb"):
        operator = getattr(bpy.ops.humanref, verb)
        assert not operator.poll()
        with pytest.raises(RuntimeError, match=r"first \(step \d\)"):
            operator()


def test_a_file_of_a_newer_version_is_said_to_be_one(part: Part, scene: Any) -> None:
    warning = "Saved by a newer HumanRef: update the add-on"
    assert warning not in draw(part)
    scene.humanref.version = part("session.scene_jobs").STORED_VERSION + 1
    assert warning in draw(part)


def test_an_error_of_ours_does_not_kill_the_pump(part: Part, session: Any) -> None:
    def broken() -> None:
        raise ValueError("a bug")

    pump = part("registration")._Registered.pump
    session.tick = broken
    try:
        assert pump._timer() > 0
    finally:
        del session.tick
    assert session.problem.code == "unexpected"
    assert "a bug" in session.problem.message


def test_nothing_is_bound_to_keys_and_background_mode_has_no_timer(part: Part) -> None:
    keyconfigs = bpy.context.window_manager.keyconfigs
    for config in (keyconfigs.addon, keyconfigs.default):
        for keymap in config.keymaps if config else ():
            assert not [item for item in keymap.keymap_items if "humanref" in item.idname]
    assert bpy.app.background
    pump = part("registration")._Registered.pump
    assert not bpy.app.timers.is_registered(pump._timer)


def test_settings_can_be_kept_under_a_name(part: Part, scene: Any) -> None:
    settings = scene.humanref
    settings.preset, settings.steps, settings.texture = "paper", 77, "4096"
    assert bpy.ops.humanref.add_preset(name="My Game") == {"FINISHED"}
    (folder,) = bpy.utils.preset_paths("humanref/generate")
    (kept,) = Path(folder).glob("*.py")
    settings.preset, settings.steps, settings.texture = "draft", 0, "preset"
    menu = "HUMANREF_PT_presets"
    done = bpy.ops.script.execute_preset(filepath=str(kept), menu_idname=menu)
    assert done == {"FINISHED"}
    assert (settings.preset, settings.steps, settings.texture) == ("paper", 77, "4096")
    assert bpy.ops.humanref.add_preset(name="My Game", remove_active=True) == {"FINISHED"}
    assert not kept.exists()


def test_unseen_sides_are_the_papers_unless_the_backend_cannot(
    part: Part, session: Any, scene: Any
) -> None:
    link = part("session.link").Link
    settings = scene.humanref
    settings.property_unset("guidance")
    session.link = link("off", "", None)
    assert settings.guidance == "ref-sds"
    session.link = link("connected", "", welcome(part))
    assert settings.guidance == "ref-sds"
    # What is saved is a number: a list of another order changes nothing.
    settings.guidance = "none"
    session.link = link("connected", "", welcome(part, guidances=("none", "ref-sds", "new")))
    assert settings.guidance == "none"
    settings.property_unset("guidance")
    session.link = link("connected", "", welcome(part, guidances=("mirror", "none")))
    with pytest.raises(part("session.problem").ProblemError) as told:
        part("ui.job_requests").request_character(bpy.context)
    assert told.value.problem.code == "guidance_unknown"
    assert "Unseen Sides" in told.value.problem.hint


def test_the_menus_have_their_entries(part: Part) -> None:
    for menu, text in (
        ("VIEW3D_MT_mesh_add", "Person from Photo..."),
        ("TOPBAR_MT_file_import", "Photo of a Person (HumanRef)"),
    ):
        twin = LayoutTwin()
        for entry in getattr(bpy.types, menu)._dyn_ui_initialize():
            if entry.__module__.endswith("ui.menus"):
                entry(SimpleNamespace(layout=twin), bpy.context)
        assert twin.said == [text]

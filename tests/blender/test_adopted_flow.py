"""An SMPL-X armature from elsewhere, from "Use Selected Armature" to a character, with a real backend."""

from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
import pytest
from artist import Artist, evaluated_vertices, mesh_of
from scene_data import SceneData, foreign_armature


@pytest.fixture
def artist(backend: Artist, data: SceneData) -> Iterator[Artist]:
    """With the example photo chosen in an empty scene."""
    backend.open_photo()
    yield backend
    jobs = backend.part("session.current").current_scene_jobs()
    for job in jobs.open_jobs():
        jobs.forget(job.job_id)


@pytest.mark.parametrize("y_up", [False, True])
def test_a_foreign_armature_becomes_a_character(
    artist: Artist, data: SceneData, y_up: bool
) -> None:
    foreign: Any = foreign_armature(data, y_up)
    bpy.context.view_layer.objects.active = foreign
    foreign.select_set(True)
    assert bpy.ops.humanref.use_armature() == {"FINISHED"}
    assert artist.settings.rig == foreign
    # The person in the photo holds the arms so; which way they point is the rig's own.
    assert bpy.ops.humanref.set_pose(pose="A") == {"FINISHED"}
    asked = artist.part("scene.rig").read_pose(foreign)
    # Without a camera there is nothing to fit it to, and the panel says so.
    with pytest.raises(RuntimeError, match="not made over a photo"):
        bpy.ops.humanref.refit()
    artist.session.dismiss_problem()

    artist.settings.preset, artist.settings.steps = "draft", 20
    job_id = artist.generate()
    artist.wait(artist.characters, "the character", 180)
    assert artist.session.book.get(job_id).state == "done"
    (character,) = artist.characters()
    vertices = evaluated_vertices(mesh_of(character))
    assert len(vertices) > 3000
    # Blender's own axes: upright, and as tall as was asked for with hair and soles.
    assert 1.5 < np.ptp(vertices[:, 2]) < 2.1
    came = artist.part("scene.rig").read_pose(character)
    elbows = [3 * data.wire("skeleton").JOINT_INDEX[f"{side}_elbow"] for side in ("left", "right")]
    shoulders = [
        3 * data.wire("skeleton").JOINT_INDEX[f"{side}_shoulder"] for side in ("left", "right")
    ]
    for start in (*elbows, *shoulders):
        np.testing.assert_allclose(
            came.full_pose[start : start + 3], asked.full_pose[start : start + 3], atol=1e-3
        )

"""Solid shading in a person's colours, and the artist's own put back."""

from collections.abc import Iterator
from typing import Any

import bpy
import pytest
from scene_data import SceneData


@pytest.fixture
def shading(data: SceneData) -> Iterator[Any]:
    """Of the 3D view, with a look of the artist's own: shiny, by object, under a MatCap."""
    # Tests before this one have looked at people.
    data.scene("view_shading").restore_shading()
    screen = bpy.context.window.screen
    (area,) = (area for area in screen.areas if area.type == "VIEW_3D")
    shading = area.spaces.active.shading
    plain = look(shading)
    shading.color_type, shading.show_specular_highlight, shading.light = "OBJECT", True, "MATCAP"
    yield shading
    data.scene("view_shading").restore_shading()
    shading.color_type, shading.show_specular_highlight, shading.light = plain[:3]


def look(shading: Any) -> tuple[Any, ...]:
    """Everything that we may touch."""
    light = shading.light
    shading.light = "STUDIO"
    studio = shading.studio_light
    shading.light = light
    return shading.color_type, shading.show_specular_highlight, light, studio


def test_the_artists_shading_comes_back(data: SceneData, shading: Any) -> None:
    view = data.scene("view_shading")
    before, matcap = look(shading), shading.studio_light
    assert before[:3] == ("OBJECT", True, "MATCAP")
    assert view.show_colors(bpy.context, "VERTEX") == 1
    assert look(shading) == ("VERTEX", False, "STUDIO", "paint.sl")
    assert view.show_colors(bpy.context, "TEXTURE") == 1
    assert look(shading)[:3] == ("TEXTURE", False, "FLAT")
    view.restore_shading()
    assert look(shading) == before
    assert shading.studio_light == matcap
    # Nothing is kept, so a second time changes nothing.
    shading.color_type = "RANDOM"
    view.restore_shading()
    assert shading.color_type == "RANDOM"


def test_a_light_that_the_artist_chose_meanwhile_stays(data: SceneData, shading: Any) -> None:
    view = data.scene("view_shading")
    view.show_colors(bpy.context, "VERTEX")
    shading.light, shading.show_specular_highlight = "MATCAP", True
    view.show_colors(bpy.context, "TEXTURE")
    assert (shading.color_type, shading.light) == ("TEXTURE", "MATCAP")
    assert shading.show_specular_highlight
    view.restore_shading()
    assert (shading.color_type, shading.light) == ("OBJECT", "MATCAP")


def test_one_can_do_without(data: SceneData, shading: Any) -> None:
    settings, sight = bpy.context.scene.humanref, data.part("session.sight")
    before = look(shading)
    sight.color_views(bpy.context, "VERTEX")
    assert look(shading) != before
    settings.photo_shading = False
    assert look(shading) == before
    sight.color_views(bpy.context, "TEXTURE")
    assert look(shading) == before
    settings.photo_shading = True
    assert shading.color_type == "VERTEX"
    data.scene("view_shading").restore_shading()


def test_other_shadings_are_not_touched(data: SceneData, shading: Any) -> None:
    shading.type = "WIREFRAME"
    try:
        assert data.scene("view_shading").show_colors(bpy.context, "VERTEX") == 0
    finally:
        shading.type = "SOLID"
    assert shading.color_type == "OBJECT"

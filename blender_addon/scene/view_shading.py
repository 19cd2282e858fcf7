"""Solid shading that shows a person's own colours, and the artist's own shading put back after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import bpy

_KEPT: Final = "humanref_shading"
"""On screens: what a view's shading was before us and what we made of it, by the number of its area."""
_SOFT_LIGHT: Final = "paint.sl"


def show_colors(context: bpy.types.Context, kind: Literal["VERTEX", "TEXTURE"]) -> int:
    """Let solid shading show vertex colours or textures in every 3D view of the window, softly lit.

    A light that the artist has chosen since we last did so stays.

    Returns:
        How many views are in solid shading.
    """
    screen = context.window.screen if context.window else None
    count = 0
    for index, area in _views(screen):
        shading = area.spaces.active.shading
        if shading.type == "SOLID":
            _change(screen, index, shading, _wanted(context, kind))
            area.tag_redraw()
            count += 1
    return count


def restore_shading() -> None:
    """Put the artist's shading back in every 3D view, except for what they have chosen themselves since."""
    for screen in bpy.data.screens:
        for index, area in _views(screen):
            kept = _kept(screen).get(index)
            if kept is None:
                continue
            shading = area.spaces.active.shading
            now, ours = _read(shading), kept["ours"]
            for field, value in kept["before"].items():
                if field in ours and now[field] == ours[field]:
                    _write(shading, field, value)
            area.tag_redraw()
        if _KEPT in screen:
            del screen[_KEPT]


def _wanted(context: bpy.types.Context, kind: str) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "color_type": kind,
        # The colours of a photo have its light in them: highlights make every cloth look like leather,
        # and the usual studio light darkens them a second time.
        "show_specular_highlight": False,
        # A texture needs no second light at all; what has none yet needs one to show its shape.
        "light": "FLAT" if kind == "TEXTURE" else "STUDIO",
    }
    if kind == "VERTEX" and _SOFT_LIGHT in context.preferences.studio_lights:
        wanted["studio_light"] = _SOFT_LIGHT
    return wanted


def _change(
    screen: bpy.types.Screen, index: str, shading: bpy.types.View3DShading, wanted: dict[str, Any]
) -> None:
    all_kept = _kept(screen)
    now = _read(shading)
    kept = all_kept.setdefault(index, {"before": now, "ours": {}})
    ours = kept["ours"]
    for field, value in wanted.items():
        # Colours are what was asked for; a light that is no longer ours is the artist's choice.
        if field == "color_type" or ours.get(field, now[field]) == now[field]:
            _write(shading, field, value)
            ours[field] = value
    screen[_KEPT] = all_kept


def _views(screen: bpy.types.Screen | None) -> Iterator[tuple[str, bpy.types.Area]]:
    """3D views with the number of their area: the screen's own order lasts as long as its layout."""
    for index, area in enumerate(screen.areas if screen else ()):
        if area.type == "VIEW_3D":
            yield str(index), area


def _kept(screen: bpy.types.Screen) -> dict[str, Any]:
    group = screen.get(_KEPT)
    return group.to_dict() if hasattr(group, "to_dict") else {}


def _read(shading: bpy.types.View3DShading) -> dict[str, Any]:
    light = shading.light
    # Studio and MatCap each have a light of their own; the one of Studio is what we change.
    shading.light = "STUDIO"
    studio = shading.studio_light
    shading.light = light
    return {
        "color_type": shading.color_type,
        "show_specular_highlight": shading.show_specular_highlight,
        "light": light,
        "studio_light": studio,
    }


def _write(shading: bpy.types.View3DShading, field: str, value: Any) -> None:
    if field == "studio_light":
        light = shading.light
        shading.light = "STUDIO"
        # A light of the artist's own may be uninstalled by now.
        if value in bpy.context.preferences.studio_lights or value == "Default":
            shading.studio_light = value
        shading.light = light
    elif field == "show_specular_highlight":
        shading.show_specular_highlight = bool(value)
    else:
        setattr(shading, field, value)

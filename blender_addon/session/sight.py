"""Who is in sight: one person at a time stands over a photo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import bpy

from ..scene.character import find_characters
from ..scene.view_shading import show_colors


def people_of(scene: bpy.types.Scene, collection: bpy.types.Collection) -> list[bpy.types.Object]:
    """The scene's posable body, and the finished characters in a photo's collection."""
    rig = scene.humanref.rig
    body = [rig] if rig is not None and rig.users_collection else []
    return body + [
        armature for armature in find_characters(scene) if collection in armature.users_collection
    ]


def hide(scene: bpy.types.Scene, armatures: Iterable[bpy.types.Object]) -> tuple[str, ...]:
    """Take armatures and what they move out of sight.

    Returns:
        Names of the objects that were in sight before.
    """
    return tuple(
        part.name
        for armature in armatures
        for part in _with_meshes(scene, armature)
        if _set_hidden(scene, part, hidden=True)
    )


def show(scene: bpy.types.Scene, names: Iterable[str]) -> None:
    """Bring objects back into sight, those that are still there."""
    for name in names:
        part = scene.objects.get(name)
        if part is not None:
            _set_hidden(scene, part, hidden=False)


def show_body(scene: bpy.types.Scene, *, shown: bool) -> None:
    """Show the scene's posable body, or take it out of sight."""
    rig = scene.humanref.rig
    if rig is None or not rig.users_collection:
        return
    for part in _with_meshes(scene, rig):
        _set_hidden(scene, part, hidden=not shown)


def color_views(context: bpy.types.Context, kind: Literal["VERTEX", "TEXTURE"]) -> None:
    """Let the window's solid views show a person's colours, unless the artist wants their own shading."""
    if context.scene.humanref.photo_shading:
        show_colors(context, kind)


def _with_meshes(scene: bpy.types.Scene, armature: bpy.types.Object) -> list[bpy.types.Object]:
    moved = [part for part in scene.objects if part.find_armature() == armature]
    return [armature, *moved]


def _set_hidden(scene: bpy.types.Scene, part: bpy.types.Object, *, hidden: bool) -> bool:
    changed = False
    for layer in scene.view_layers:
        if part.name in layer.objects and part.hide_get(view_layer=layer) != hidden:
            part.hide_set(hidden, view_layer=layer)
            changed = True
    return changed

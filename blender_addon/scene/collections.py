"""Collections of our own, so that nothing of ours lies about among the artist's things."""

from __future__ import annotations

from pathlib import PurePath

import bpy


def new_collection(scene: bpy.types.Scene, name: str) -> bpy.types.Collection:
    """A new collection under the scene's own; Blender adds .001 where the name is taken."""
    collection = bpy.data.collections.new(name or "HumanRef")
    scene.collection.children.link(collection)
    return collection


def name_of_photo(path: str) -> str:
    """What a photo's collection is called: its file name without folder and ending."""
    return PurePath(path.replace("\\", "/")).stem or "HumanRef"


def link(obj: bpy.types.Object, collection: bpy.types.Collection) -> None:
    """Put a new object into one collection."""
    collection.objects.link(obj)


def make_active(
    context: bpy.types.Context, active: bpy.types.Object, *others: bpy.types.Object
) -> None:
    """Select just these; objects outside the view layer are left alone."""
    layer = context.view_layer
    current = layer.objects.active
    if current is not None and current.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for obj in layer.objects.selected:
        obj.select_set(False)
    for obj in (active, *others):
        if obj.name in layer.objects:
            obj.select_set(True)
    if active.name in layer.objects:
        layer.objects.active = active

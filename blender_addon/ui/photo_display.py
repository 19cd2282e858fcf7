"""The chosen photo in the scene: its camera, its collection, and the people of other photos aside."""

from __future__ import annotations

from collections.abc import Iterator

import bpy

from ..scene.photo_camera import look_through, show_photo
from ..scene.rig import find_rigs
from ..session.photo_place import IMAGE, camera_of, place_of_image
from ..session.scene_jobs import STORED_VERSION
from ..session.sight import color_views


def put_photo_up(context: bpy.types.Context) -> None:
    """Show the scene's photo behind the body and look through its camera.

    One person at a time: what belongs to other photos steps out of sight (the outliner's eye brings it
    back), and a body that was made for this photo earlier is taken up again.

    Raises:
        SceneError: the photo cannot be read.
    """
    scene, settings = context.scene, context.scene.humanref
    settings.version = STORED_VERSION
    image = settings.photo
    collection = place_of_image(scene, image)
    camera = camera_of(collection, image)
    if camera is None:
        camera = show_photo(scene, image, collection)
        camera[IMAGE] = image.name
    settings.photo_camera = camera.name
    for other in scene.collection.children:
        if other == collection or any(IMAGE in thing for thing in other.objects):
            _set_hidden(scene, other, hidden=other != collection)
    rigs = [rig for rig in find_rigs(scene) if collection in rig.users_collection]
    if settings.rig not in rigs and (rigs or _belongs_to_a_photo(settings.rig)):
        settings.rig = rigs[-1] if rigs else None
    settings.photo_opacity = camera.data.background_images[0].alpha
    look_through(context, camera)
    color_views(context, "VERTEX")


def _belongs_to_a_photo(rig: bpy.types.Object | None) -> bool:
    collections = () if rig is None else rig.users_collection
    return any(IMAGE in thing for collection in collections for thing in collection.objects)


def _set_hidden(scene: bpy.types.Scene, collection: bpy.types.Collection, *, hidden: bool) -> None:
    for view_layer in scene.view_layers:
        for layer in _below(view_layer.layer_collection):
            if layer.collection == collection:
                layer.hide_viewport = hidden


def _below(layer: bpy.types.LayerCollection) -> Iterator[bpy.types.LayerCollection]:
    for child in layer.children:
        yield child
        yield from _below(child)

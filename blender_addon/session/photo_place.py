"""Where a photo's person lives: one collection a photo, whatever files and collections are called."""

from __future__ import annotations

import re
import uuid

import bpy

from ..scene import stored
from ..scene.collections import name_of_photo, new_collection
from ..scene.photo_camera import cameras_of
from ..shared_protocol.messages import PhotoInfo
from .photo_file import photo_name
from .scene_jobs import SceneJob

IMAGE = "humanref_image"
"""On our cameras: the name of the image they show; references do not outlive an undo."""
_PLACE = "humanref_place"
"""On collections: an id that outlives a new name."""


def place_of_image(scene: bpy.types.Scene, image: bpy.types.Image) -> bpy.types.Collection:
    """The collection with the camera that shows this image; a fresh one where there is none."""
    for collection in scene.collection.children_recursive:
        if camera_of(collection, image) is not None:
            return collection
    name = name_of_photo(photo_name(image))
    # Another photo's file may be called the same.
    free = (c for c in _named(scene, name) if not any(IMAGE in thing for thing in c.objects))
    return next(free, None) or new_collection(scene, name)


def camera_of(collection: bpy.types.Collection, image: bpy.types.Image) -> bpy.types.Object | None:
    """The collection's camera that shows this image."""
    for thing in collection.objects:
        if thing.type == "CAMERA" and thing.get(IMAGE) == image.name:
            return thing
    return None


def place_id(collection: bpy.types.Collection) -> str:
    """The collection's id for :attr:`SceneJob.place`; it gets one if it has none."""
    if not collection.get(_PLACE):
        collection[_PLACE] = uuid.uuid4().hex
    return str(collection[_PLACE])


def place_of_job(
    scene: bpy.types.Scene, job: SceneJob, photo: PhotoInfo | None = None
) -> bpy.types.Collection:
    """The collection that the job was asked for from; else its photo's, by name and content."""
    if job.place:
        for collection in scene.collection.children_recursive:
            if collection.get(_PLACE) == job.place:
                return collection
    name = name_of_photo(job.photo_name)
    named = _named(scene, name)
    if photo is not None:
        ours = {c for camera in cameras_of(photo) for c in camera.users_collection}
        named = [c for c in named if c in ours] or [c for c in named if not _has_known_photo(c)]
    return named[0] if named else new_collection(scene, name)


def _named(scene: bpy.types.Scene, name: str) -> list[bpy.types.Collection]:
    # Blender appends .001 where another scene or photo has the name.
    pattern = re.compile(re.escape(name) + r"(\.\d{3})?")
    return [c for c in scene.collection.children if pattern.fullmatch(c.name)]


def _has_known_photo(collection: bpy.types.Collection) -> bool:
    return any(
        thing.type == "CAMERA" and stored.has(thing, stored.CAMERA) for thing in collection.objects
    )

"""The photo as the background of an orthographic camera that sees what the photo's camera saw."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..shared_protocol.messages import Camera, PhotoInfo


def show_photo(
    scene: bpy.types.Scene,
    image: bpy.types.Image | Path | str,
    collection: bpy.types.Collection,
) -> bpy.types.Object:
    """Make ``image`` the background of a new camera, and that camera the scene's.

    The camera looks along +y at a person who faces -y; until :func:`match_camera` places it, it frames
    a person of average height who stands on the origin. Render resolution becomes the photo's. A file
    whose EXIF says that it lies on its side is turned upright.

    Raises:
        SceneError: ``photo_unreadable``.
    """
    raise NotImplementedError


def match_camera(camera: bpy.types.Object, view: Camera, photo: PhotoInfo) -> None:
    """Place the camera so that whatever stands in the body's world lies over its place in the photo."""
    raise NotImplementedError


def set_photo_opacity(camera: bpy.types.Object, alpha: float) -> None:
    """Opacity of the background, 0 to 1."""
    raise NotImplementedError


def look_through(context: bpy.types.Context, camera: bpy.types.Object | None = None) -> int:
    """Show ``camera`` (else the scene's) in every 3D view of the window, vertex colours visible.

    Returns:
        How many views were turned; 0 in background mode.
    """
    raise NotImplementedError

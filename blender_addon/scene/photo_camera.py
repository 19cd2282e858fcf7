"""The photo as the background of an orthographic camera that sees what the photo's camera saw."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import bpy

from ..shared_protocol.messages import Camera, PhotoInfo
from . import stored
from .errors import SceneError
from .photo_image import load_upright

_DISTANCE: Final = 10.0
"""Metres from the camera to the plane y = 0; an orthographic picture does not depend on it."""
_OPACITY: Final = 1.0
_MARGIN: Final = 4.0
"""In the units of a camera view's zoom."""


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
    picture = load_upright(image)
    width, height = picture.size
    data = bpy.data.cameras.new("HumanRef photo")
    data.type = "ORTHO"
    data.sensor_fit = "AUTO"
    data.clip_start, data.clip_end = 0.01, 10.0 * _DISTANCE
    data.passepartout_alpha = 0.8
    data.show_background_images = True
    background = data.background_images.new()
    background.image = picture
    background.alpha = _OPACITY
    background.display_depth = "BACK"
    # The render frame has the photo's proportions: STRETCH fills it to the last pixel.
    background.frame_method = "STRETCH"
    camera = bpy.data.objects.new("HumanRef photo", data)
    collection.objects.link(camera)
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)
    camera.lock_location = camera.lock_rotation = camera.lock_scale = (True, True, True)
    guess = Camera(
        pixels_per_metre=0.9 * height / 1.75, center_u=0.5 * width, center_v=0.95 * height
    )
    _place(camera, guess, width, height)
    _frame(scene, width, height)
    scene.camera = camera
    return camera


def match_camera(camera: bpy.types.Object, view: Camera, photo: PhotoInfo) -> None:
    """Place the camera so that whatever stands in the body's world lies over its place in the photo.

    The protocol's formula, u = center_u + p x and v = center_v - p y, is exact for every x and y; the
    render resolution of the scenes that look through the camera becomes the photo's.
    """
    _place(camera, view, photo.width, photo.height)
    stored.write(camera, stored.CAMERA, stored.photo_values(photo))
    for scene in bpy.data.scenes:
        if scene.camera is camera:
            _frame(scene, photo.width, photo.height)


def cameras_of(photo: PhotoInfo) -> list[bpy.types.Object]:
    """Camera objects that :func:`match_camera` placed for this photo."""
    found = []
    for obj in bpy.data.objects:
        values = stored.read(obj, stored.CAMERA) if obj.type == "CAMERA" else None
        if values is not None and values.get("photo_sha256") == photo.sha256:
            found.append(obj)
    return found


def set_photo_opacity(camera: bpy.types.Object, alpha: float) -> None:
    """Opacity of the background, 0 to 1."""
    for background in camera.data.background_images:
        background.alpha = min(max(float(alpha), 0.0), 1.0)


def look_through(context: bpy.types.Context, camera: bpy.types.Object | None = None) -> int:
    """Show ``camera`` (else the scene's) in every 3D view of the window.

    Returns:
        How many views were turned; 0 in background mode.
    """
    if camera is not None:
        context.scene.camera = camera
    turned = 0
    screen = context.window.screen if context.window else None
    for area in screen.areas if screen else ():
        if area.type != "VIEW_3D" or context.scene.camera is None:
            continue
        space = area.spaces.active
        region = space.region_3d
        region.view_perspective = "CAMERA"
        _fill_view(context, area)
        turned += 1
    return turned


def _fill_view(context: bpy.types.Context, area: bpy.types.Area) -> None:
    """The whole frame, in the middle, as large as the view is."""
    region = next((region for region in area.regions if region.type == "WINDOW"), None)
    if region is None:
        return
    with context.temp_override(window=context.window, area=area, region=region):
        # Its poll refuses a view that is not drawn yet; the frame is then as it was.
        if bpy.ops.view3d.view_center_camera.poll():
            bpy.ops.view3d.view_center_camera()
            # Headers lie over the view.
            area.spaces.active.region_3d.view_camera_zoom -= _MARGIN


def _place(camera: bpy.types.Object, view: Camera, width: int, height: int) -> None:
    density = view.pixels_per_metre
    if not (math.isfinite(density) and density > 0):
        raise SceneError("pose_invalid", "The photo's camera has no scale.")
    camera.data.ortho_scale = max(width, height) / density
    camera.data.shift_x = camera.data.shift_y = 0.0
    camera.location = (
        (0.5 * width - view.center_u) / density,
        -_DISTANCE,
        (view.center_v - 0.5 * height) / density,
    )
    camera.rotation_euler = (math.pi / 2, 0.0, 0.0)


def _frame(scene: bpy.types.Scene, width: int, height: int) -> None:
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1.0

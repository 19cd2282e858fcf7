"""The photo's camera: what stands in the body's world is seen in its pixel of the photo."""

import struct
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from scene_data import SceneData, four_colors


@pytest.mark.parametrize(("width", "height"), [(1000, 1200), (1600, 900), (512, 512)])
def test_points_are_seen_where_the_protocol_says(data: SceneData, width: int, height: int) -> None:
    messages, photo_camera = data.wire("messages"), data.scene("photo_camera")
    scene = bpy.context.scene
    image = bpy.data.images.new("photo", width, height)
    camera = photo_camera.show_photo(scene, image, scene.collection)
    view = messages.Camera(pixels_per_metre=417.3, center_u=0.37 * width, center_v=1.1 * height)
    photo = messages.PhotoInfo(width=width, height=height, sha256="cd" * 32)
    photo_camera.match_camera(camera, view, photo)
    assert scene.camera is camera
    render = scene.render
    assert (render.resolution_x, render.resolution_y) == (width, height)
    bpy.context.view_layer.update()
    for x, y, z in np.random.default_rng(1).uniform(-1.5, 2.0, (40, 3)):
        seen = world_to_camera_view(scene, camera, Vector((x, -z, y)))
        u, v = seen.x * width, (1.0 - seen.y) * height
        assert u == pytest.approx(view.center_u + view.pixels_per_metre * x, abs=0.01)
        assert v == pytest.approx(view.center_v - view.pixels_per_metre * y, abs=0.01)
        assert seen.z > 0
    assert photo_camera.cameras_of(photo) == [camera]


def test_the_photo_is_the_background(data: SceneData, tmp_path: Path) -> None:
    path = tmp_path / "my photo.png"
    path.write_bytes(four_colors())
    photo_camera = data.scene("photo_camera")
    scene = bpy.context.scene
    camera = photo_camera.show_photo(scene, path, scene.collection)
    (background,) = camera.data.background_images
    assert camera.data.type == "ORTHO"
    assert camera.data.show_background_images
    assert tuple(background.image.size) == (2, 2)
    photo_camera.set_photo_opacity(camera, 0.25)
    assert background.alpha == 0.25
    # A second time the same file is not loaded twice.
    again = photo_camera.show_photo(scene, str(path), scene.collection)
    assert again.data.background_images[0].image == background.image


def test_photos_on_their_side_are_turned(data: SceneData, tmp_path: Path) -> None:
    """A PNG whose eXIf says 'turn me by 90 degrees clockwise' (6), stored 2 wide and 1 high."""
    block = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    path = tmp_path / "side.png"
    image = bpy.data.images.new("side", 2, 1)
    # Red left, blue right.
    image.pixels = [1, 0, 0, 1, 0, 0, 1, 1]
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    content = path.read_bytes()
    import zlib

    chunk = struct.pack(">I", len(block)) + b"eXIf" + block
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + block))
    path.write_bytes(content[:33] + chunk + content[33:])
    camera = data.scene("photo_camera").show_photo(
        bpy.context.scene, path, bpy.context.scene.collection
    )
    shown = camera.data.background_images[0].image
    assert tuple(shown.size) == (1, 2)
    pixels = np.array(shown.pixels[:]).reshape(2, 1, 4)
    # Clockwise: what was left is on top now. Blender's first row is the lowest.
    np.testing.assert_allclose(pixels[1, 0], [1, 0, 0, 1], atol=0.02)
    np.testing.assert_allclose(pixels[0, 0], [0, 0, 1, 1], atol=0.02)
    assert shown.packed_file is not None


@pytest.mark.parametrize("turn", range(1, 9))
def test_upright_pixels_are_what_exif_means(data: SceneData, turn: int) -> None:
    """EXIF: where the stored row 0 and column 0 belong in the upright picture."""
    stored = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    upright = data.scene("photo_image").upright_pixels(stored, turn)
    edges = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }
    sides = {
        "top": upright[0],
        "bottom": upright[-1],
        "left": upright[:, 0],
        "right": upright[:, -1],
    }
    row, column = edges[turn]
    assert set(sides[row].ravel()) == set(stored[0].ravel())
    assert set(sides[column].ravel()) == set(stored[:, 0].ravel())


def test_what_is_no_photo(data: SceneData, tmp_path: Path) -> None:
    show, error = data.scene("photo_camera").show_photo, data.scene("errors").SceneError
    scene = bpy.context.scene
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 nothing")
    for path in (tmp_path / "missing.png", broken, tmp_path):
        with pytest.raises(error) as caught:
            show(scene, path, scene.collection)
        assert caught.value.code == "photo_unreadable"
    assert data.scene("photo_camera").look_through(bpy.context) >= 0

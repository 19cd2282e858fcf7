"""A photo as a Blender image that stands upright: Blender shows pixels as stored and ignores EXIF."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import bpy
import numpy as np
from numpy.typing import NDArray

from .errors import SceneError
from .exif import orientation

_LONGEST: Final = 2048
"""Pixels of a turned copy's longer side: what the backend works with."""


def load_upright(image: bpy.types.Image | Path | str) -> bpy.types.Image:
    """The image itself where it stands upright, else a turned copy inside the .blend.

    Raises:
        SceneError: ``photo_unreadable``.
    """
    loaded = image if isinstance(image, bpy.types.Image) else _load(Path(image))
    if min(loaded.size) < 1 or (not loaded.has_data and not _reload(loaded)):
        raise _unreadable(loaded.name)
    turn = orientation(_file_bytes(loaded))
    return loaded if turn == 1 else _turned(loaded, turn)


def upright_pixels(pixels: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Pixels (h, w, c), row 0 on top, stored with EXIF orientation ``turn``, as they are to be seen."""
    if turn in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    # Quarter turns counter-clockwise that remain after the mirroring.
    quarters = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[turn]
    return np.rot90(pixels, quarters)


def _load(path: Path) -> bpy.types.Image:
    try:
        return bpy.data.images.load(str(path), check_existing=True)
    except RuntimeError as error:
        raise _unreadable(path.name) from error


def _reload(image: bpy.types.Image) -> bool:
    # Blender reads pixels when they are first asked for.
    return len(image.pixels) > 0 and image.has_data


def _file_bytes(image: bpy.types.Image) -> bytes:
    if image.packed_file is not None:
        return bytes(image.packed_file.data)
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    if not image.filepath or not path.is_file():
        return b""
    with path.open("rb") as file:
        # The orientation stands before the picture itself in every camera's files.
        return file.read(1 << 18)


def _turned(image: bpy.types.Image, turn: int) -> bpy.types.Image:
    name = f"{image.name} (upright)"
    there = bpy.data.images.get(name)
    if there is not None:
        return there
    small = image.copy()
    try:
        width, height = small.size
        shrink = min(1.0, _LONGEST / max(width, height))
        if shrink < 1.0:
            small.scale(max(1, round(width * shrink)), max(1, round(height * shrink)))
        width, height = small.size
        flat = np.empty(width * height * 4, np.float32)
        small.pixels.foreach_get(flat)
    finally:
        bpy.data.images.remove(small)
    # Blender's rows start at the bottom.
    upright = upright_pixels(flat.reshape(height, width, 4)[::-1], turn)[::-1]
    result = bpy.data.images.new(name, upright.shape[1], upright.shape[0])
    result.colorspace_settings.name = image.colorspace_settings.name
    result.pixels.foreach_set(np.ascontiguousarray(upright).ravel())
    result.pack()
    return result


def _unreadable(name: str) -> SceneError:
    return SceneError(
        "photo_unreadable",
        f"{name} is not a picture that Blender can open.",
        "Use a JPEG, PNG or WebP file.",
    )

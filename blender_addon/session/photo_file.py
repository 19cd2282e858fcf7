"""The bytes of an image of the .blend, as the backend shall see them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy

from .problem import ProblemError


def photo_source(image: bpy.types.Image) -> tuple[Path | bytes, str]:
    """The photo's own file where there is one, and its name.

    An image that exists only in the .blend (generated, or painted on since it was loaded) becomes a PNG.

    Raises:
        ProblemError: ``photo_unreadable``.
    """
    name = photo_name(image)
    if image.source == "FILE" and not image.is_dirty:
        if image.packed_file is not None:
            return bytes(image.packed_file.data), name
        path = Path(bpy.path.abspath(image.filepath, library=image.library))
        if path.is_file():
            return path, name
        raise ProblemError(
            "photo_unreadable",
            f"The photo's file {path} is gone.",
            "Choose the photo again in step 2, Photo.",
        )
    if image.source not in ("FILE", "GENERATED"):
        raise ProblemError(
            "photo_unreadable",
            f"{image.name} is no still picture.",
            "Choose a photo: PNG, JPEG, WebP or TIFF.",
        )
    return _as_png(image), f"{Path(name).stem}.png"


def photo_name(image: bpy.types.Image) -> str:
    """The file's name, or the image's where it has none."""
    return bpy.path.basename(image.filepath) or image.name


def _as_png(image: bpy.types.Image) -> bytes:
    """The pixels as they are now."""
    copy = image.copy()
    try:
        with tempfile.TemporaryDirectory(prefix="humanref-") as folder:
            path = Path(folder) / "photo.png"
            copy.filepath_raw = str(path)
            copy.file_format = "PNG"
            copy.save()
            return path.read_bytes()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip() or type(error).__name__
        raise ProblemError(
            "photo_unreadable",
            f"The image {image.name} cannot be written as a PNG ({reason}).",
            "Save it as a file and choose that file.",
        ) from error
    finally:
        bpy.data.images.remove(copy)

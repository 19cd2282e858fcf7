"""Pictures as PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from backend.files import write_whole


def write_picture(
    path: Path, picture: Float[np.ndarray, "h w 3"] | Float[np.ndarray, "h w"]
) -> None:
    """sRGB or grey values in [0, 1] as 8-bit PNG.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    write_whole(path, png_bytes(np.round(np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8)))


def png_bytes(picture: UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"]) -> bytes:
    """The bytes of a PNG file."""
    data = io.BytesIO()
    # As small as the default level 6, in a third of the time (0.26 s against 0.72 for a result's two).
    Image.fromarray(picture).save(data, "PNG", compress_level=4)
    return data.getvalue()

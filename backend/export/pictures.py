"""Pictures as PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from backend.export.files import write_whole


def write_picture(
    path: Path, picture: Float[np.ndarray, "h w 3"] | Float[np.ndarray, "h w"]
) -> None:
    """sRGB or grey values in [0, 1] as 8-bit PNG.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``.
    """
    data = io.BytesIO()
    Image.fromarray(np.round(np.clip(picture, 0.0, 1.0) * 255).astype(np.uint8)).save(data, "PNG")
    write_whole(path, data.getvalue())

"""Region maps as pictures: written with a palette so that people see colours and programs numbers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.files import write_whole

REGION_COLORS = np.array(
    [[0, 0, 0], [230, 60, 60], [60, 180, 75], [50, 110, 230], [240, 200, 40]], np.uint8
)
"""sRGB of background, head, upper body, lower body, feet."""


def write_regions(path: str | Path, regions: UInt8[np.ndarray, "h w"]) -> None:
    """A palette PNG whose pixel values are :class:`Region` numbers; whole or not there.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    image = Image.fromarray(np.ascontiguousarray(regions))
    image.putpalette(REGION_COLORS.reshape(-1).tolist())
    data = io.BytesIO()
    image.save(data, format="PNG")
    write_whole(Path(path), data.getvalue())


def decode_regions(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w"]:
    """Region numbers of a picture: palette or grey values 0 to 4, or exactly our five colours.

    Raises:
        HumanRefError: ``regions_values`` for anything else.
    """
    if image.mode in ("P", "L", "I;16", "I", "1"):
        values = np.asarray(image).astype(np.int64)
        if image.mode == "P" and not _values_fit(values):
            values = _by_color(np.asarray(image.convert("RGB")))
    else:
        values = _by_color(np.asarray(image.convert("RGB")))
    if not _values_fit(values):
        raise HumanRefError(
            "regions_values",
            f"{name} holds other values than the five regions.",
            "Store 0 background, 1 head, 2 upper body, 3 lower body, 4 feet, or paint with the "
            "exact colours of a regions.png that humanref wrote, without smoothing.",
        )
    return values.astype(np.uint8)


def _values_fit(values: np.ndarray) -> bool:
    return bool(values.min() >= 0 and values.max() <= int(max(Region)))


def _by_color(rgb: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
    values = np.full(rgb.shape[:2], -1, np.int64)
    for region, color in enumerate(REGION_COLORS):
        values[(rgb == color).all(-1)] = region
    return values

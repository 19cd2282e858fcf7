"""Maps of a photo on a square of it, and at single points."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32

from backend.geometry.frames import CropFrame


def crop_map(
    image: np.ndarray, crop: CropFrame, resolution: int, *, nearest: bool = False
) -> np.ndarray:
    """Resample a photo-sized map (h, w[, c]) to the (resolution, resolution[, c]) crop; zero outside it.

    Shrinking averages (no aliasing); ``nearest`` keeps labels whole. Bytes stay bytes, all else becomes
    float32.
    """
    pixels = 2.0 * crop.half_size / resolution
    over = 1 if nearest else int(np.clip(np.ceil(pixels), 1, 8))
    side = resolution * over
    step = 2.0 * crop.half_size / side
    # cv2 counts pixel centres from 0; ours lie at +0.5.
    matrix = np.array(
        [
            [step, 0.0, crop.center_u - crop.half_size + 0.5 * step - 0.5],
            [0.0, step, crop.center_v - crop.half_size + 0.5 * step - 0.5],
        ]
    )
    flags = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    kept = nearest or image.dtype == np.uint8
    source = np.ascontiguousarray(image if kept else image.astype(np.float32))
    out = cv2.warpAffine(source, matrix, (side, side), flags=flags, borderValue=0)
    if over > 1:
        out = cv2.resize(out, (resolution, resolution), interpolation=cv2.INTER_AREA)
    return out


def sample(
    picture: Float[np.ndarray, "h w *c"], pixels: Float[np.ndarray, "n 2"], *, cubic: bool = False
) -> Float32[np.ndarray, "n *c"]:
    """A picture at points (u, v) of its own photo frame; beyond the edge, the edge's value.

    Bilinear, or bicubic, which keeps more detail and may overshoot.
    """
    # OpenCV wants a picture of points, no side of which may pass 32767.
    columns = 4096
    count = len(pixels)
    places = np.zeros((max(1, -(-count // columns)) * columns, 2), np.float32)
    # cv2 counts pixel centres from 0; ours lie at +0.5.
    places[:count] = pixels - 0.5
    grid = places.reshape(-1, columns, 2)
    method = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    source = np.ascontiguousarray(picture, np.float32)
    found = [
        cv2.remap(source, band[..., 0], band[..., 1], method, borderMode=cv2.BORDER_REPLICATE)
        for band in np.array_split(grid, -(-len(grid) // 16384))
    ]
    flat = np.concatenate(found).reshape(len(places), *picture.shape[2:])
    return flat[:count]

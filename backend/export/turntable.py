"""The photo and the character from eight sides, in one picture."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import ColoredMesh
from backend.geometry.rasterizer import interpolate, rasterize

AZIMUTHS = tuple(range(0, 360, 45))
_BACKGROUND = 0.93
_SUPERSAMPLE = 2
_MARGIN = 1.06


def turntable(
    mesh: ColoredMesh,
    photo: Float[np.ndarray, "h w 3"] | None = None,
    mask: Float[np.ndarray, "h w"] | None = None,
    *,
    height: int = 512,
    normals: bool = True,
) -> Float[np.ndarray, "a b 3"]:
    """One row: the photo (cut out around the mask), then azimuths 0, 45, ... 315 in plain vertex colours.

    Args:
        mesh: world frame.
        photo, mask: of any size; without a photo the row starts at azimuth 0, without a mask the whole
            photo is shown.
        height: of a tile, pixels.
        normals: a second row shows world normals as (n + 1) / 2, which reveals the shape.

    Returns:
        sRGB in [0, 1].
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    center = (low + high) / 2
    radius = float(np.linalg.norm((mesh.vertices - center)[:, [0, 2]], axis=1).max())
    half = _MARGIN * max(0.5 * float(high[1] - low[1]), radius)
    # Tiles are only as wide as the character needs from its widest side.
    width = min(height, int(np.ceil(height * radius * _MARGIN / half)))
    target = (float(center[0]), float(center[1]), float(center[2]))
    attributes = [mesh.colors, 0.5 * mesh.normals + 0.5] if normals else [mesh.colors]
    rows: list[list[np.ndarray]] = [[] for _ in attributes]
    for azimuth in AZIMUTHS:
        camera = OrthographicCamera(float(azimuth), half_height=half, target=target)
        raster = rasterize(camera.project(mesh.vertices), mesh.faces, height * _SUPERSAMPLE)
        for row, values in zip(rows, attributes, strict=True):
            picture = interpolate(raster, values.astype(np.float32), mesh.faces, _BACKGROUND)
            small = cv2.resize(picture, (height, height), interpolation=cv2.INTER_AREA)
            left = (height - width) // 2
            row.append(small[:, left : left + width])
    if photo is not None:
        tile = _photo_tile(photo, mask, height)
        empty = np.full_like(tile, _BACKGROUND)
        for number, row in enumerate(rows):
            row.insert(0, tile if number == 0 else empty)
    sheet: np.ndarray = np.concatenate([np.concatenate(row, 1) for row in rows], 0)
    clipped: np.ndarray = np.clip(sheet, 0.0, 1.0)
    return clipped


def _photo_tile(
    photo: Float[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w"] | None, height: int
) -> Float[np.ndarray, "a b 3"]:
    """The photo at the tiles' height, cut to the person so that both are about equally large."""
    picture = photo.astype(np.float32)
    if mask is not None and (mask > 0.5).any():
        rows, columns = np.nonzero(mask > 0.5)
        pad = int(0.5 * (_MARGIN - 1.0) * (np.ptp(rows) + 1)) + 1
        top, left = max(0, rows.min() - pad), max(0, columns.min() - pad)
        picture = picture[top : rows.max() + pad + 1, left : columns.max() + pad + 1]
    factor = height / picture.shape[0]
    width = max(1, round(picture.shape[1] * factor))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=method).astype(np.float32)

"""Orthographic z-buffer: which triangle each pixel sees, where on it, and how near.

Picture coordinates are those of :meth:`backend.geometry.cameras.OrthographicCamera.project`:
x to the right, y up, both in [-1, 1] inside the picture, z towards the camera (larger is nearer).
Pixels are sampled at their centres; row 0 is on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32
from numba import njit

from backend.errors import HumanRefError

BACKGROUND = -1


@dataclass(frozen=True)
class Raster:
    """What a square picture of a mesh sees in each pixel centre."""

    face_index: Int32[np.ndarray, "n n"]
    """Nearest triangle, -1 where there is none."""
    barycentric: Float32[np.ndarray, "n n 3"]
    """Weights of that triangle's corners, sum 1; zeros on the background."""
    depth: Float32[np.ndarray, "n n"]
    """z of the seen point, -inf on the background."""

    @property
    def covered(self) -> Bool[np.ndarray, "n n"]:
        """Pixels that see the mesh."""
        return self.face_index >= 0


def rasterize(
    xyz: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], resolution: int
) -> Raster:
    """Draw a triangle mesh seen along -z; both sides of a triangle are visible.

    Args:
        xyz: corner positions in picture coordinates; parts beyond [-1, 1] are clipped.
        faces: corner indices; triangles with no area in the picture are skipped.
        resolution: pixels along an edge of the picture.

    Of two triangles at the same depth the one with the lower index wins: pictures are reproducible.

    Raises:
        HumanRefError: ``invalid_mesh`` when positions are not finite or indices leave ``xyz``.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be positive, got {resolution}")
    if not np.isfinite(xyz).all():
        raise HumanRefError("invalid_mesh", "The mesh has positions that are not finite numbers.")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(xyz)):
        raise HumanRefError("invalid_mesh", "The mesh's faces point at vertices it does not have.")
    face_index = np.full((resolution, resolution), BACKGROUND, np.int32)
    barycentric = np.zeros((resolution, resolution, 3), np.float32)
    depth = np.full((resolution, resolution), -np.inf, np.float64)
    pixel = np.empty((len(xyz), 3), np.float64)
    # Pixel centres fall on whole numbers: centre of column 0 at x = -1 + 1 / resolution.
    pixel[:, 0] = (xyz[:, 0].astype(np.float64) + 1.0) * (0.5 * resolution) - 0.5
    pixel[:, 1] = (1.0 - xyz[:, 1].astype(np.float64)) * (0.5 * resolution) - 0.5
    pixel[:, 2] = xyz[:, 2]
    _draw(pixel, np.ascontiguousarray(faces, np.int32), face_index, barycentric, depth)
    return Raster(face_index, barycentric, depth.astype(np.float32))


@njit(cache=True, nogil=True)
@no_type_check
def _draw(pixel, faces, face_index, barycentric, depth):
    resolution = depth.shape[0]
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = pixel[a, 0], pixel[a, 1], pixel[a, 2]
        bx, by, bz = pixel[b, 0], pixel[b, 1], pixel[b, 2]
        cx, cy, cz = pixel[c, 0], pixel[c, 1], pixel[c, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        # Clamped before the conversion to int: far outside, a float does not fit an integer.
        left = int(np.ceil(max(0.0, min(ax, bx, cx))))
        right = int(np.floor(min(resolution - 1.0, max(ax, bx, cx))))
        top = int(np.ceil(max(0.0, min(ay, by, cy))))
        bottom = int(np.floor(min(resolution - 1.0, max(ay, by, cy))))
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                wa = ((bx - j) * (cy - i) - (by - i) * (cx - j)) / area
                if wa < 0.0:
                    continue
                wb = ((cx - j) * (ay - i) - (cy - i) * (ax - j)) / area
                if wb < 0.0:
                    continue
                wc = ((ax - j) * (by - i) - (ay - i) * (bx - j)) / area
                if wc < 0.0:
                    continue
                total = wa + wb + wc
                wa, wb, wc = wa / total, wb / total, wc / total
                z = wa * az + wb * bz + wc * cz
                if z > depth[i, j]:
                    depth[i, j] = z
                    face_index[i, j] = f
                    barycentric[i, j, 0] = wa
                    barycentric[i, j, 1] = wb
                    barycentric[i, j, 2] = wc


def interpolate(
    raster: Raster,
    attributes: Float[np.ndarray, "v c"],
    faces: Int[np.ndarray, "f 3"],
    fill: float | Float[np.ndarray, "c"] = 0.0,
) -> Float[np.ndarray, "n n c"]:
    """Vertex attributes at the seen points (barycentric), ``fill`` on the background."""
    resolution = raster.face_index.shape[0]
    picture = np.empty((resolution, resolution, attributes.shape[1]), attributes.dtype)
    picture[:] = fill
    seen = raster.covered
    corners = attributes[faces[raster.face_index[seen]]]
    picture[seen] = np.einsum("pk,pkc->pc", raster.barycentric[seen].astype(picture.dtype), corners)
    return picture

"""Triangles with holes: hair and lashes whose texture says where they are, drawn over a finished raster."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int, UInt8
from numba import njit

from backend.geometry.rasterizer import Raster

OPAQUE = 110
"""Alpha (of 255) from which a texel is there."""


def draw_cutout(
    raster: Raster,
    xyz: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    corner_uv: Float[np.ndarray, "f 3 2"],
    alpha: UInt8[np.ndarray, "h w"],
    first_index: int,
) -> Raster:
    """A new raster with the triangles that are nearer and opaque where they are seen.

    Args:
        raster: what is there already; not changed.
        xyz: picture coordinates as in :func:`backend.geometry.rasterizer.rasterize`.
        faces: corner indices.
        corner_uv: texture coordinates, v upwards; they repeat outside [0, 1].
        alpha: opacity of the texture.
        first_index: what face 0 is called in ``face_index``.
    """
    n = raster.depth.shape[0]
    index, weights = raster.face_index.copy(), raster.barycentric.copy()
    depth = raster.depth.copy()
    pixel = np.empty((len(xyz), 3), np.float64)
    pixel[:, 0] = (xyz[:, 0] + 1.0) * (0.5 * n) - 0.5
    pixel[:, 1] = (1.0 - xyz[:, 1]) * (0.5 * n) - 0.5
    pixel[:, 2] = xyz[:, 2]
    _draw(
        pixel,
        np.ascontiguousarray(faces, np.int64),
        np.ascontiguousarray(corner_uv, np.float64),
        np.ascontiguousarray(alpha),
        first_index,
        index,
        weights,
        depth,
    )
    return Raster(index, weights, depth)


@njit(cache=True, nogil=True)
@no_type_check
def _draw(pixel, faces, uv, alpha, first_index, index, weights, depth):
    n = depth.shape[0]
    height, width = alpha.shape
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, bx, by = pixel[a, 0], pixel[a, 1], pixel[b, 0], pixel[b, 1]
        cx, cy = pixel[c, 0], pixel[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        left = int(np.ceil(max(0.0, min(ax, bx, cx))))
        right = int(np.floor(min(n - 1.0, max(ax, bx, cx))))
        top = int(np.ceil(max(0.0, min(ay, by, cy))))
        bottom = int(np.floor(min(n - 1.0, max(ay, by, cy))))
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                wa = ((bx - j) * (cy - i) - (by - i) * (cx - j)) / area
                wb = ((cx - j) * (ay - i) - (cy - i) * (ax - j)) / area
                wc = 1.0 - wa - wb
                if wa < 0.0 or wb < 0.0 or wc < 0.0:
                    continue
                z = wa * pixel[a, 2] + wb * pixel[b, 2] + wc * pixel[c, 2]
                if z <= depth[i, j]:
                    continue
                u = wa * uv[f, 0, 0] + wb * uv[f, 1, 0] + wc * uv[f, 2, 0]
                v = wa * uv[f, 0, 1] + wb * uv[f, 1, 1] + wc * uv[f, 2, 1]
                column = min(width - 1, int((u - np.floor(u)) * width))
                row = min(height - 1, int((1.0 - (v - np.floor(v))) * height))
                if alpha[row, column] < OPAQUE:
                    continue
                depth[i, j] = z
                index[i, j] = first_index + f
                weights[i, j, 0] = wa
                weights[i, j, 1] = wb
                weights[i, j, 2] = wc

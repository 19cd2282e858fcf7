"""Numba kernel of the baked SDF grid: trilinear value and exact gradient, for CPUs."""

from typing import no_type_check

import numpy as np
from numba import njit, prange

f32 = np.float32


@njit(inline="always")
@no_type_check
def _locate(v, cells):
    """Lower grid index and fraction of a coordinate in [-1, 1]; NaN and beyond go to the border."""
    p = (v + f32(1.0)) * f32(0.5) * f32(cells)
    if not p > f32(0.0):
        p = f32(0.0)
    if p > f32(cells):
        p = f32(cells)
    i = min(np.int32(p), np.int32(cells - 1))
    return i, p - f32(i)


@njit(
    parallel=True,
    fastmath={"nsz", "arcp", "contract", "afn", "reassoc"},
    nogil=True,
    cache=True,
    error_model="numpy",
)
@no_type_check
def trilinear(grid, points, value, gradient):
    """Samples ``grid`` (z, y, x) at ``points`` (n, 3); ``gradient`` (n, 3), or (0, 3) for none."""
    depth, height, width = grid.shape
    with_gradient = gradient.shape[0] > 0
    hx = f32(0.5 * (width - 1))
    hy = f32(0.5 * (height - 1))
    hz = f32(0.5 * (depth - 1))
    for n in prange(points.shape[0]):
        x, fx = _locate(points[n, 0], width - 1)
        y, fy = _locate(points[n, 1], height - 1)
        z, fz = _locate(points[n, 2], depth - 1)
        v0 = grid[z, y, x]
        v2 = grid[z, y + 1, x]
        v4 = grid[z + 1, y, x]
        v6 = grid[z + 1, y + 1, x]
        d0 = grid[z, y, x + 1] - v0
        d1 = grid[z, y + 1, x + 1] - v2
        d2 = grid[z + 1, y, x + 1] - v4
        d3 = grid[z + 1, y + 1, x + 1] - v6
        a = v0 + fx * d0
        ab = v2 + fx * d1 - a
        c = v4 + fx * d2
        cd = v6 + fx * d3 - c
        low = a + fy * ab
        rise = c + fy * cd - low
        value[n] = low + fz * rise
        if with_gradient:
            near = d0 + fy * (d1 - d0)
            far = d2 + fy * (d3 - d2)
            gradient[n, 0] = hx * (near + fz * (far - near))
            gradient[n, 1] = hy * (ab + fz * (cd - ab))
            gradient[n, 2] = hz * rise

"""Numba kernel of the narrow-band sampler: one march through the cached SDF grid a ray, for CPUs."""

import math
from typing import no_type_check

import numpy as np
from numba import njit, prange

CUT_BEYOND_REACH = 4.0
"""Segments farther from the surface than the reach by this many 1 / alpha weigh nothing."""

OPAQUE_BELOW = 1e-4
"""Transmittance at which the march stops."""

f32 = np.float32
# Not "nnan"/"ninf": a distance that is not a number must stay a comparison that fails.
_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}


@njit(fastmath=_MATH)
@no_type_check
def _grid_value(grid, x, y, z):
    """Trilinear value at a point of the cube (nodes on its faces, axes (z, y, x), cubic grid)."""
    cells = grid.shape[0] - 1
    half = f32(0.5 * cells)
    px = min(max((x + f32(1.0)) * half, f32(0.0)), f32(cells))
    py = min(max((y + f32(1.0)) * half, f32(0.0)), f32(cells))
    pz = min(max((z + f32(1.0)) * half, f32(0.0)), f32(cells))
    i = min(np.int32(px), np.int32(cells - 1))
    j = min(np.int32(py), np.int32(cells - 1))
    k = min(np.int32(pz), np.int32(cells - 1))
    fx = px - f32(i)
    fy = py - f32(j)
    fz = pz - f32(k)
    a = grid[k, j, i] + fx * (grid[k, j, i + 1] - grid[k, j, i])
    b = grid[k, j + 1, i] + fx * (grid[k, j + 1, i + 1] - grid[k, j + 1, i])
    c = grid[k + 1, j, i] + fx * (grid[k + 1, j, i + 1] - grid[k + 1, j, i])
    d = grid[k + 1, j + 1, i] + fx * (grid[k + 1, j + 1, i + 1] - grid[k + 1, j + 1, i])
    low = a + fy * (b - a)
    high = c + fy * (d - c)
    return low + fz * (high - low)


@njit(fastmath=_MATH)
@no_type_check
def _cube_interval(origin, direction):
    """Depths at which a ray enters (not behind its origin) and leaves the cube; far < near: never."""
    near = f32(0.0)
    far = f32(np.inf)
    for axis in range(3):
        o = origin[axis]
        v = direction[axis]
        if abs(v) < f32(1e-9):
            if not abs(o) <= f32(1.0):
                far = f32(-1.0)
        else:
            t0 = (f32(-1.0) - o) / v
            t1 = (f32(1.0) - o) / v
            near = max(near, min(t0, t1))
            far = min(far, max(t0, t1))
    return near, far


@njit(fastmath=_MATH)
@no_type_check
def _depth_of_segment(a0, a1, length):
    """Optical depth over alpha * length for scaled distances a = alpha s (see field.density)."""
    rise = a1 - a0
    if abs(rise) < f32(0.03):
        m = f32(0.5) * (a0 + a1)
        tail = f32(0.5) * math.exp(-abs(m)) * (f32(1.0) + rise * rise / f32(24.0))
        return length * (tail if m > f32(0.0) else f32(1.0) - tail)
    tail = f32(0.5) * (math.exp(-abs(a0)) - math.exp(-abs(a1)))
    linear = min(a1, f32(0.0)) - min(a0, f32(0.0))
    return length * (linear + tail) / rise


@njit(parallel=True, fastmath=_MATH, nogil=True, cache=True, error_model="numpy")
@no_type_check
def narrow_band(grid, origins, directions, steps, steepest, alpha, reach, quantiles, depths, hit):
    """Depths (r, k) where the first surface's weight lies, and whether the ray comes near it at all.

    ``directions`` is (r, 3) or (1, 3); ``quantiles`` (r, k) rise in (0, 1]. See
    :func:`backend.rendering.sampling.narrow_band_reference`, the readable twin, for the method. What is
    added here: nodes whose distance says that the next ones weigh nothing either are leapt over, given
    that no distance in the grid changes by more than ``steepest`` a unit of length.
    """
    n_rays = origins.shape[0]
    k_samples = depths.shape[1]
    shared = directions.shape[0] == 1
    cut = reach + f32(CUT_BEYOND_REACH) / alpha
    for r in prange(n_rays):
        ray = np.int64(0) if shared else np.int64(r)
        hit[r] = False
        near, far = _cube_interval(origins[r], directions[ray])
        if not far > near:
            for k in range(k_samples):
                depths[r, k] = f32(0.0)
            continue
        step = (far - near) / f32(steps)
        weight = np.zeros(steps, np.float32)
        closest = f32(np.inf)
        through = f32(1.0)
        before = f32(np.inf)
        first = steps
        last = -1
        k = 0
        while k <= steps and through > f32(OPAQUE_BELOW):
            t = near + step * f32(k)
            s = _grid_value(
                grid,
                origins[r, 0] + t * directions[ray, 0],
                origins[r, 1] + t * directions[ray, 1],
                origins[r, 2] + t * directions[ray, 2],
            )
            closest = min(closest, s)
            if k > 0 and min(s, before) <= cut:
                after = through * math.exp(
                    -_depth_of_segment(alpha * before, alpha * s, alpha * step)
                )
                weight[k - 1] = through - after
                through = after
                first = min(first, k - 1)
                last = k - 1
            before = s
            leap = (s - cut) / (f32(steepest) * step)
            if leap >= f32(2.0):
                k += int(min(leap, f32(steps)))
            else:
                k += 1
        if closest > reach or last < 0:
            for k in range(k_samples):
                depths[r, k] = near + (far - near) * (f32(k) + f32(0.5)) / f32(k_samples)
            continue
        hit[r] = True
        first = max(first - 1, 0)
        last = min(last + 1, steps - 1)
        total = f32(0.0)
        left = f32(0.0)
        for k in range(first, last + 1):
            here = weight[k]
            right = weight[k + 1] if k < last else f32(0.0)
            weight[k] = max(left, max(here, right))
            left = here
            total += weight[k]
        cell = first
        passed = f32(0.0)
        for k in range(k_samples):
            u = total * quantiles[r, k]
            while cell < last and passed + weight[cell] < u:
                passed += weight[cell]
                cell += 1
            inside = f32(1.0)
            if weight[cell] > f32(0.0):
                inside = min(max((u - passed) / weight[cell], f32(0.0)), f32(1.0))
            depths[r, k] = near + step * (f32(cell) + inside)

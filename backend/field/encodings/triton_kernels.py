"""Triton kernels of the hash encoding: one program a block of points and a level.

The arithmetic is that of ``reference.py``. Developed under Triton's interpreter (TRITON_INTERPRET=1),
which runs the same source on a CPU.
"""

from __future__ import annotations

import triton
import triton.language as tl

BLOCK = triton.language.constexpr(256)
"""Points a program."""


@triton.jit
def _cell(points, rows, inside, axis, scale):
    """Lower corner and fraction of points along one axis of a level's grid."""
    x = tl.load(points + rows * 3 + axis, mask=inside, other=0.0)
    # A NaN differs from itself; it is read as 0, like every encoder here does.
    x = tl.where(x == x, x, 0.0)
    position = tl.minimum(tl.maximum(x, 0.0), 1.0) * scale + 0.5
    lower = tl.floor(position)
    return lower.to(tl.int32).to(tl.uint32), position - lower


@triton.jit
def _entry(x, y, z, resolution, size, dense):
    """Index of a grid point in its level's part of the table."""
    flat = x + resolution * (y + resolution * z)
    hashed = x ^ (y * 2654435761) ^ (z * 805459861)
    return tl.where(dense, flat, hashed) % size


@triton.jit
def _grid(level, resolutions, sizes, offsets, dense_levels):
    """A level's points along an edge, its entries, its first entry, and whether it is dense."""
    resolution = tl.load(resolutions + level).to(tl.uint32)
    size = tl.load(sizes + level).to(tl.uint32)
    return resolution, size, tl.load(offsets + level), tl.load(dense_levels + level) != 0


@triton.jit
def _side(fraction, upper: tl.constexpr):
    """Weight of a corner along one axis, and the sign of its share in the slope."""
    if upper == 1:
        weight, sign = fraction, 1.0
    else:
        weight, sign = 1.0 - fraction, -1.0
    return weight, sign


@triton.jit
def encode(
    points,
    table,
    scales,
    resolutions,
    sizes,
    offsets,
    dense_levels,
    features,
    jacobian,
    n,
    levels,
    jacobian_levels,
    BLOCK: tl.constexpr,
):
    """Features (n, 2 levels) and Jacobian (n, 3, 2 jacobian_levels) of points (n, 3) in [0, 1]."""
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1)
    inside = rows < n
    rows = rows.to(tl.int64)
    scale = tl.load(scales + level)
    resolution, size, offset, dense = _grid(level, resolutions, sizes, offsets, dense_levels)
    cx, fx = _cell(points, rows, inside, 0, scale)
    cy, fy = _cell(points, rows, inside, 1, scale)
    cz, fz = _cell(points, rows, inside, 2, scale)
    slopes = rows < tl.where(level < jacobian_levels, n, 0)
    for feature in tl.static_range(2):
        value = tl.zeros([BLOCK], tl.float32)
        slope_x = tl.zeros([BLOCK], tl.float32)
        slope_y = tl.zeros([BLOCK], tl.float32)
        slope_z = tl.zeros([BLOCK], tl.float32)
        for corner in tl.static_range(8):
            wx, sx = _side(fx, corner % 2)
            wy, sy = _side(fy, corner // 2 % 2)
            wz, sz = _side(fz, corner // 4)
            x, y, z = cx + corner % 2, cy + corner // 2 % 2, cz + corner // 4
            entry = _entry(x, y, z, resolution, size, dense).to(tl.int64)
            read = tl.load(table + (offset + entry) * 2 + feature, mask=inside, other=0.0)
            value += wx * wy * wz * read
            slope_x += sx * wy * wz * read
            slope_y += sy * wx * wz * read
            slope_z += sz * wx * wy * read
        column = 2 * level + feature
        tl.store(features + rows * (2 * levels) + column, value, mask=inside)
        base = jacobian + rows * (6 * jacobian_levels) + column
        tl.store(base, slope_x * scale, mask=slopes)
        tl.store(base + 2 * jacobian_levels, slope_y * scale, mask=slopes)
        tl.store(base + 4 * jacobian_levels, slope_z * scale, mask=slopes)


@triton.jit
def scatter(
    points,
    feature_grads,
    jacobian_grads,
    scales,
    resolutions,
    sizes,
    offsets,
    dense_levels,
    table_grads,
    n,
    levels,
    jacobian_levels,
    BLOCK: tl.constexpr,
):
    """Add both outputs' gradients into the table's (atomically: many points share an entry)."""
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1)
    inside = rows < n
    rows = rows.to(tl.int64)
    scale = tl.load(scales + level)
    resolution, size, offset, dense = _grid(level, resolutions, sizes, offsets, dense_levels)
    cx, fx = _cell(points, rows, inside, 0, scale)
    cy, fy = _cell(points, rows, inside, 1, scale)
    cz, fz = _cell(points, rows, inside, 2, scale)
    slopes = rows < tl.where(level < jacobian_levels, n, 0)
    for feature in tl.static_range(2):
        column = 2 * level + feature
        grad = tl.load(feature_grads + rows * (2 * levels) + column, mask=inside, other=0.0)
        base = jacobian_grads + rows * (6 * jacobian_levels) + column
        grad_x = tl.load(base, mask=slopes, other=0.0) * scale
        grad_y = tl.load(base + 2 * jacobian_levels, mask=slopes, other=0.0) * scale
        grad_z = tl.load(base + 4 * jacobian_levels, mask=slopes, other=0.0) * scale
        for corner in tl.static_range(8):
            wx, sx = _side(fx, corner % 2)
            wy, sy = _side(fy, corner // 2 % 2)
            wz, sz = _side(fz, corner // 4)
            x, y, z = cx + corner % 2, cy + corner // 2 % 2, cz + corner // 4
            entry = _entry(x, y, z, resolution, size, dense).to(tl.int64)
            add = wx * wy * wz * grad
            add += sx * wy * wz * grad_x
            add += sy * wx * wz * grad_y
            add += sz * wx * wy * grad_z
            tl.atomic_add(table_grads + (offset + entry) * 2 + feature, add, mask=inside)

"""Numba kernels of the hash encoding: forward (with Jacobian) and backward, for CPUs.

All index arithmetic is unsigned 32 bit on one flat table: signed indices add a wrap-around branch to
every read (measured: 2x). Forward runs in parallel over blocks of points; backward over levels, each of
which owns its slice of the gradient, so no two threads ever write to the same place.
"""

from typing import no_type_check

import numpy as np
from numba import njit, prange

# Not "nnan"/"ninf": a NaN coordinate must stay a comparison that fails, or it becomes a wild address.
_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
_PARALLEL = {
    "parallel": True,
    "fastmath": _MATH,
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
}
_BLOCK = 256

u32 = np.uint32
f32 = np.float32
_PRIME_Y = np.uint32(2654435761)
_PRIME_Z = np.uint32(805459861)
_ONE = np.uint32(1)


@njit(fastmath=_MATH)
@no_type_check
def _unit(v):
    if not v > f32(0.0):
        return f32(0.0)
    if v > f32(1.0):
        return f32(1.0)
    return v


@njit(fastmath=_MATH)
@no_type_check
def _split(v, scale):
    p = _unit(v) * scale + f32(0.5)
    i = np.int32(p)
    return u32(i), p - f32(i)


@njit(fastmath=_MATH)
@no_type_check
def _hashed(x, y, z, mask):
    return u32(u32((x ^ y ^ z) & mask) << _ONE)


@njit(fastmath=_MATH)
@no_type_check
def _dense(x, y, z, size):
    i = u32(x + y + z)
    if i >= size:
        i = u32(i - size)
    return u32(i << _ONE)


@njit(fastmath=_MATH)
@no_type_check
def _blend(t, k, f, fx, fy, fz):
    v0 = t[k[0] + f]
    v2 = t[k[2] + f]
    v4 = t[k[4] + f]
    v6 = t[k[6] + f]
    d0 = t[k[1] + f] - v0
    d1 = t[k[3] + f] - v2
    d2 = t[k[5] + f] - v4
    d3 = t[k[7] + f] - v6
    a = v0 + fx * d0
    b = v2 + fx * d1
    c = v4 + fx * d2
    d = v6 + fx * d3
    ab = b - a
    cd = d - c
    low = a + fy * ab
    high = c + fy * cd
    x_low = d0 + fy * (d1 - d0)
    x_high = d2 + fy * (d3 - d2)
    rise = high - low
    return low + fz * rise, x_low + fz * (x_high - x_low), ab + fz * (cd - ab), rise


@njit(**_PARALLEL)
@no_type_check
def encode(x, table, offsets, scales, resolutions, sizes, dense, out, jacobian):
    """Features (n, 2 levels) into ``out``; d feature / d x of the levels that ``jacobian`` holds.

    ``table`` is flat; ``out`` decides how many levels are read, ``jacobian`` (n, 3, 2 j) how many get
    their Jacobian (j = 0: none).
    """
    n_points = x.shape[0]
    n_levels = out.shape[1] // 2
    n_jacobian = jacobian.shape[2] // 2
    for block in prange((n_points + _BLOCK - 1) // _BLOCK):
        start = block * _BLOCK
        stop = min(n_points, start + _BLOCK)
        for level in range(n_levels):
            scale = scales[level]
            stride_y = u32(resolutions[level])
            stride_z = u32(stride_y * stride_y)
            size = u32(sizes[level])
            mask = u32(size - _ONE)
            t = table[2 * offsets[level] : 2 * offsets[level + 1]]
            q = 2 * level
            for n in range(start, stop):
                X, fx = _split(x[n, 0], scale)
                Y, fy = _split(x[n, 1], scale)
                Z, fz = _split(x[n, 2], scale)
                X1 = u32(X + _ONE)
                if dense[level]:
                    y = u32(Y * stride_y)
                    y1 = u32(y + stride_y)
                    z = u32(Z * stride_z)
                    z1 = u32(z + stride_z)
                    k = (
                        _dense(X, y, z, size),
                        _dense(X1, y, z, size),
                        _dense(X, y1, z, size),
                        _dense(X1, y1, z, size),
                        _dense(X, y, z1, size),
                        _dense(X1, y, z1, size),
                        _dense(X, y1, z1, size),
                        _dense(X1, y1, z1, size),
                    )
                else:
                    y = u32(Y * _PRIME_Y)
                    y1 = u32(y + _PRIME_Y)
                    z = u32(Z * _PRIME_Z)
                    z1 = u32(z + _PRIME_Z)
                    k = (
                        _hashed(X, y, z, mask),
                        _hashed(X1, y, z, mask),
                        _hashed(X, y1, z, mask),
                        _hashed(X1, y1, z, mask),
                        _hashed(X, y, z1, mask),
                        _hashed(X1, y, z1, mask),
                        _hashed(X, y1, z1, mask),
                        _hashed(X1, y1, z1, mask),
                    )
                v, vx, vy, vz = _blend(t, k, u32(0), fx, fy, fz)
                w, wx, wy, wz = _blend(t, k, _ONE, fx, fy, fz)
                out[n, q] = v
                out[n, q + 1] = w
                if level < n_jacobian:
                    jacobian[n, 0, q] = scale * vx
                    jacobian[n, 1, q] = scale * vy
                    jacobian[n, 2, q] = scale * vz
                    jacobian[n, 0, q + 1] = scale * wx
                    jacobian[n, 1, q + 1] = scale * wy
                    jacobian[n, 2, q + 1] = scale * wz


@njit(fastmath=_MATH)
@no_type_check
def _scatter(x, g, gj, q, scale, sy, sz, size, mask, is_dense, has_jacobian, t):
    """Adds one level's share of the gradient to its slice ``t`` of the table's gradient."""
    for n in range(x.shape[0]):
        X, fx = _split(x[n, 0], scale)
        Y, fy = _split(x[n, 1], scale)
        Z, fz = _split(x[n, 2], scale)
        X1 = u32(X + _ONE)
        ex = f32(1.0) - fx
        ey = f32(1.0) - fy
        ez = f32(1.0) - fz
        g0 = g[n, q]
        g1 = g[n, q + 1]
        if has_jacobian:
            ax = gj[n, 0, q] * scale
            ay = gj[n, 1, q] * scale
            az = gj[n, 2, q] * scale
            bx = gj[n, 0, q + 1] * scale
            by = gj[n, 1, q + 1] * scale
            bz = gj[n, 2, q + 1] * scale
        y0 = u32(Y * sy)
        y1 = u32(y0 + sy)
        z0 = u32(Z * sz)
        z1 = u32(z0 + sz)
        for c in range(4):
            up_y = c & 1
            up_z = c & 2
            y = y1 if up_y else y0
            z = z1 if up_z else z0
            wy = fy if up_y else ey
            wz = fz if up_z else ez
            w = wy * wz
            if is_dense:
                ka = _dense(X, y, z, size)
                kb = _dense(X1, y, z, size)
            else:
                ka = _hashed(X, y, z, mask)
                kb = _hashed(X1, y, z, mask)
            s0 = w * g0
            s1 = w * g1
            if has_jacobian:
                # d weight / d y and d weight / d z; the x derivative is -w at ka and +w at kb.
                dy = wz if up_y else -wz
                dz = wy if up_z else -wy
                s0 += dy * ay + dz * az
                s1 += dy * by + dz * bz
                t[ka] += ex * s0 - w * ax
                t[u32(ka + _ONE)] += ex * s1 - w * bx
                t[kb] += fx * s0 + w * ax
                t[u32(kb + _ONE)] += fx * s1 + w * bx
            else:
                t[ka] += ex * s0
                t[u32(ka + _ONE)] += ex * s1
                t[kb] += fx * s0
                t[u32(kb + _ONE)] += fx * s1


@njit(**_PARALLEL)
@no_type_check
def scatter(x, g, gj, offsets, scales, resolutions, sizes, dense, order, grad):
    """Adds to the flat ``grad`` what ``g`` (n, 2 levels) and ``gj`` (n, 3, 2 j) send to the table.

    ``order`` is a permutation of the levels that gives each thread's contiguous share both cheap and
    dear ones.
    """
    n_jacobian = gj.shape[2] // 2
    for i in prange(order.shape[0]):
        level = order[i]
        t = grad[2 * offsets[level] : 2 * offsets[level + 1]]
        r = u32(resolutions[level])
        r2 = u32(r * r)
        size = u32(sizes[level])
        m = u32(size - _ONE)
        s = scales[level]
        q = 2 * level
        if dense[level]:
            if level < n_jacobian:
                _scatter(x, g, gj, q, s, r, r2, size, m, True, True, t)
            else:
                _scatter(x, g, gj, q, s, r, r2, size, m, True, False, t)
        elif level < n_jacobian:
            _scatter(x, g, gj, q, s, _PRIME_Y, _PRIME_Z, size, m, False, True, t)
        else:
            _scatter(x, g, gj, q, s, _PRIME_Y, _PRIME_Z, size, m, False, False, t)

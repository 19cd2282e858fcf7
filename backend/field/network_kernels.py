"""Numba kernels of the field's two networks, forward and backward, for CPUs.

The same arithmetic as :mod:`backend.field.mlp`, whose twin they are held to. Points go through in tiles
that stay in the first caches: a tile's products are calls to BLAS, what lies between them is one loop
each. The backward computes a tile's forward again rather than to read it from memory, which costs the
same and needs no room. Tiles are dealt to a fixed number of blocks, each with its own sums of gradients,
which so do not depend on the number of threads; a call does the blocks first..last - 1. The caller shares
them out (the kernels hold no lock): compiled as parallel loops they take three times as long to compile.

Tiles must be small (:func:`tile_size`): OpenBLAS starts threads of its own for larger products.
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit

f32 = np.float32
BLOCKS = 16
# OpenBLAS stays on the calling thread while rows * columns * depth of a product is not above this.
_ONE_THREAD = 65_536 * 4
_LARGEST_TILE = 64

# Not "nnan": a network that has diverged must say so, not return numbers.
_MATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
_KERNEL = {"fastmath": _MATH, "nogil": True, "cache": True, "error_model": "numpy"}


def tile_size(*widths: int) -> int:
    """Points of a tile whose products of any two ``widths`` stay on one thread."""
    widest = sorted(widths)[-2:]
    return max(1, min(_LARGEST_TILE, _ONE_THREAD // (widest[0] * widest[1])))


@njit(fastmath=_MATH)
@no_type_check
def _gather(features, x, start, m, j, z, f):
    """The tile's inputs, each in one contiguous piece."""
    for n in range(m):
        for k in range(f.shape[1]):
            f[n, k] = features[start + n, k]
        for k in range(j):
            z[n, k] = features[start + n, k]
        for a in range(3):
            z[n, j + a] = x[start + n, a]


@njit(fastmath=_MATH)
@no_type_check
def _bend(m, rounding, q, t, r):
    """From h / (2 rounding) in ``q``: q itself, r' in ``t`` and r (see mlp.rounded_relu)."""
    for n in range(m):
        for k in range(q.shape[1]):
            v = q[n, k] + f32(0.5)
            c = min(max(v, f32(0.0)), f32(1.0))
            q[n, k] = v
            t[n, k] = c
            r[n, k] = rounding * c * (f32(2.0) * v - c)


@njit(fastmath=_MATH)
@no_type_check
def _relu(m, y):
    for n in range(m):
        for k in range(y.shape[1]):
            y[n, k] = max(y[n, k], f32(0.0))


@njit(**_KERNEL)
@no_type_check
def values(first, last, tile, features, x, rounding, weights, s):
    """Fills ``s`` (n,) alone; ``weights`` as in :func:`forward`, ``features`` those the SDF reads."""
    to_q1, _, to_q2, w2, w3, _, _, _ = weights
    n_points, j = x.shape[0], features.shape[1]
    tiles = (n_points + tile - 1) // tile
    for block in range(first, last):
        hidden = w2.shape[0]
        f, z = np.empty((tile, j), np.float32), np.empty((tile, j + 3), np.float32)
        q, t = np.empty((tile, hidden), np.float32), np.empty((tile, hidden), np.float32)
        r = np.empty((tile, hidden), np.float32)
        for number in range(block * tiles // BLOCKS, (block + 1) * tiles // BLOCKS):
            start = number * tile
            m = min(tile, n_points - start)
            _gather(features, x, start, m, j, z, f)
            np.dot(z[:m], to_q1, q[:m])
            _bend(m, rounding, q, t, r)
            np.dot(r[:m], to_q2, q[:m])
            _bend(m, rounding, q, t, r)
            for n in range(m):
                total = f32(0.0)
                for k in range(hidden):
                    total += r[n, k] * w3[k]
                s[start + n] = total


@njit(**_KERNEL)
@no_type_check
def forward(first, last, tile, features, jacobian, x, scale, rounding, weights, s, slope, color):
    """Fills ``s`` (n,), ``slope`` (n, 3) and ``color`` (n, 3).

    ``weights``: W1^T / (2 rounding), W1, W2^T / (2 rounding), W2, w3, C1^T, C2^T, C3^T, all contiguous.
    """
    to_q1, w1, to_q2, w2, w3, c1, c2, c3 = weights
    n_points, j = x.shape[0], jacobian.shape[2]
    tiles = (n_points + tile - 1) // tile
    for block in range(first, last):
        hidden, wide = w2.shape[0], c2.shape[0]
        z = np.empty((tile, j + 3), np.float32)
        f = np.empty((tile, features.shape[1]), np.float32)
        q = np.empty((tile, hidden), np.float32)
        t1 = np.empty((tile, hidden), np.float32)
        t2 = np.empty((tile, hidden), np.float32)
        r = np.empty((tile, hidden), np.float32)
        g0 = np.empty((tile, j + 3), np.float32)
        y1 = np.empty((tile, wide), np.float32)
        y2 = np.empty((tile, wide), np.float32)
        y3 = np.empty((tile, 3), np.float32)
        for number in range(block * tiles // BLOCKS, (block + 1) * tiles // BLOCKS):
            start = number * tile
            m = min(tile, n_points - start)
            _gather(features, x, start, m, j, z, f)
            np.dot(z[:m], to_q1, q[:m])
            _bend(m, rounding, q, t1, r)
            np.dot(r[:m], to_q2, q[:m])
            _bend(m, rounding, q, t2, r)
            for n in range(m):
                total = f32(0.0)
                for k in range(hidden):
                    total += r[n, k] * w3[k]
                    t2[n, k] *= w3[k]
                s[start + n] = total
            np.dot(t2[:m], w2, q[:m])
            for n in range(m):
                for k in range(hidden):
                    t1[n, k] *= q[n, k]
            np.dot(t1[:m], w1, g0[:m])
            for n in range(m):
                for a in range(3):
                    total = f32(0.0)
                    for k in range(j):
                        total += jacobian[start + n, a, k] * g0[n, k]
                    slope[start + n, a] = scale * total + g0[n, j + a]
            np.dot(f[:m], c1, y1[:m])
            _relu(m, y1)
            np.dot(y1[:m], c2, y2[:m])
            _relu(m, y2)
            np.dot(y2[:m], c3, y3[:m])
            for n in range(m):
                for a in range(3):
                    color[start + n, a] = f32(1.0) / (f32(1.0) + math.exp(-y3[n, a]))


@njit(fastmath=_MATH)
@no_type_check
def _chain_again(m, rounding, weights, z, r1, q1, q2, t1, t2, r2, g1, g2, u, g0):
    """A tile's SDF forward, with all that its backward needs."""
    to_q1, w1, to_q2, w2, w3, _, _, _ = weights
    np.dot(z, to_q1, q1)
    _bend(m, rounding, q1, t1, r1)
    np.dot(r1, to_q2, q2)
    _bend(m, rounding, q2, t2, r2)
    for n in range(m):
        for k in range(g2.shape[1]):
            g2[n, k] = t2[n, k] * w3[k]
    np.dot(g2, w2, u)
    for n in range(m):
        for k in range(g1.shape[1]):
            g1[n, k] = t1[n, k] * u[n, k]
    np.dot(g1, w1, g0)


@njit(fastmath=_MATH)
@no_type_check
def _through_jacobian(m, scale, jacobian, into_slope, g0, into_g0, djacobian):
    """From the slope's gradient to those of the chain's end g0 and of the Jacobian."""
    j = jacobian.shape[2]
    for n in range(m):
        ax = into_slope[n, 0]
        ay = into_slope[n, 1]
        az = into_slope[n, 2]
        for k in range(j):
            into_g0[n, k] = scale * (
                ax * jacobian[n, 0, k] + ay * jacobian[n, 1, k] + az * jacobian[n, 2, k]
            )
        for k in range(j):
            g = scale * g0[n, k]
            djacobian[n, 0, k] = ax * g
            djacobian[n, 1, k] = ay * g
            djacobian[n, 2, k] = az * g
        into_g0[n, j] = ax
        into_g0[n, j + 1] = ay
        into_g0[n, j + 2] = az


@njit(fastmath=_MATH)
@no_type_check
def _back_to_first(m, curvature, into, t1, q1, u, into_u, dh1):
    for n in range(m):
        for k in range(into.shape[1]):
            v = into[n, k]
            into_u[n, k] = v * t1[n, k]
            bent = f32(0.0) < q1[n, k] < f32(1.0)
            dh1[n, k] = v * u[n, k] * curvature if bent else f32(0.0)


@njit(fastmath=_MATH)
@no_type_check
def _back_to_second(m, curvature, into, into_s, t2, r2, q2, g2, w3, dw3, dh2):
    for n in range(m):
        e = into_s[n]
        for k in range(into.shape[1]):
            v = into[n, k]
            dw3[k] += v * t2[n, k] + e * r2[n, k]
            bent = f32(0.0) < q2[n, k] < f32(1.0)
            dh2[n, k] = e * g2[n, k] + (v * w3[k] * curvature if bent else f32(0.0))


@njit(fastmath=_MATH)
@no_type_check
def _add_product(m, a, b, total):
    for n in range(m):
        for k in range(total.shape[1]):
            total[n, k] += a[n, k] * b[n, k]


@njit(fastmath=_MATH)
@no_type_check
def _masked(m, y, d):
    """Back through a ReLU, whose result is y."""
    for n in range(m):
        for k in range(y.shape[1]):
            d[n, k] = d[n, k] if y[n, k] > f32(0.0) else f32(0.0)


@njit(fastmath=_MATH)
@no_type_check
def _color_back(m, f, color, into_color, weights, transposed, y1, y2, d1, d2, d3, df, sums):
    """A tile of the colour network, forward again and backward."""
    c1, c2 = weights[5], weights[6]
    _, _, c1_t, c2_t, c3_t = transposed
    dc1, dc2, dc3, sum1, sum2, sum3 = sums
    np.dot(f, c1, y1)
    _relu(m, y1)
    np.dot(y1, c2, y2)
    _relu(m, y2)
    for n in range(m):
        for a in range(3):
            c = color[n, a]
            d3[n, a] = into_color[n, a] * c * (f32(1.0) - c)
    np.dot(d3, c3_t, d2)
    _masked(m, y2, d2)
    np.dot(d2, c2_t, d1)
    _masked(m, y1, d1)
    np.dot(d1, c1_t, df)
    np.dot(d1.T, f, sum1)
    np.dot(d2.T, y1, sum2)
    np.dot(d3.T, y2, sum3)
    dc1 += sum1
    dc2 += sum2
    dc3 += sum3


@njit(fastmath=_MATH)
@no_type_check
def _empty(rows, columns):
    return np.empty((rows, columns), np.float32)


@njit(**_KERNEL)
@no_type_check
def backward(
    first,
    last,
    tile,
    features,
    jacobian,
    x,
    color,
    scale,
    rounding,
    weights,
    transposed,
    into_s,
    into_slope,
    into_color,
    dfeatures,
    djacobian,
    dweights,
):
    """Gradients of what :func:`forward` fills, given those of the loss for its three results.

    ``transposed``: W1^T, W2^T, C1, C2, C3, contiguous. ``dweights``: per block, zeros on entry:
    W1 (b, h, j + 3), W2, w3, C1, C2, C3.
    """
    n_points, j = x.shape[0], jacobian.shape[2]
    tiles = (n_points + tile - 1) // tile
    hidden, wide, levels = weights[3].shape[0], weights[6].shape[0], features.shape[1]
    curvature = f32(0.5) / rounding
    for block in range(first, last):
        f, df = _empty(tile, levels), _empty(tile, levels)
        q1, q2 = _empty(tile, hidden), _empty(tile, hidden)
        t1, t2 = _empty(tile, hidden), _empty(tile, hidden)
        r2, u = _empty(tile, hidden), _empty(tile, hidden)
        into, g0 = _empty(tile, hidden), _empty(tile, j + 3)
        z, into_g0 = _empty(tile, j + 3), _empty(tile, j + 3)
        r1, into_u = _empty(tile, hidden), _empty(tile, hidden)
        g1, dh1 = _empty(tile, hidden), _empty(tile, hidden)
        g2, dh2 = _empty(tile, hidden), _empty(tile, hidden)
        y1, y2 = _empty(tile, wide), _empty(tile, wide)
        d1, d2, d3 = _empty(tile, wide), _empty(tile, wide), _empty(tile, 3)
        sum1, sum2 = _empty(hidden, j + 3), _empty(hidden, hidden)
        color_sums = (
            dweights[3][block],
            dweights[4][block],
            dweights[5][block],
            _empty(wide, levels),
            _empty(wide, wide),
            _empty(3, wide),
        )
        dw1, dw2, dw3 = dweights[0][block], dweights[1][block], dweights[2][block]
        for number in range(block * tiles // BLOCKS, (block + 1) * tiles // BLOCKS):
            start = number * tile
            stop = min(start + tile, n_points)
            m = stop - start
            _gather(features, x, start, m, j, z, f)
            _chain_again(
                m,
                rounding,
                weights,
                z[:m],
                r1[:m],
                q1[:m],
                q2[:m],
                t1,
                t2,
                r2,
                g1[:m],
                g2[:m],
                u[:m],
                g0[:m],
            )
            _through_jacobian(
                m,
                scale,
                jacobian[start:stop],
                into_slope[start:stop],
                g0,
                into_g0,
                djacobian[start:stop],
            )
            np.dot(into_g0[:m], transposed[0], into[:m])
            _back_to_first(m, curvature, into, t1, q1, u, into_u, dh1)
            np.dot(into_u[:m], transposed[1], into[:m])
            _back_to_second(
                m, curvature, into, into_s[start:stop], t2, r2, q2, g2, weights[4], dw3, dh2
            )
            np.dot(dh2[:m], weights[3], into[:m])
            _add_product(m, t1, into, dh1)
            np.dot(g1[:m].T, into_g0[:m], sum1)
            dw1 += sum1
            np.dot(dh1[:m].T, z[:m], sum1)
            dw1 += sum1
            np.dot(g2[:m].T, into_u[:m], sum2)
            dw2 += sum2
            np.dot(dh2[:m].T, r1[:m], sum2)
            dw2 += sum2
            np.dot(dh1[:m], weights[1], g0[:m])
            _color_back(
                m,
                f[:m],
                color[start:stop],
                into_color[start:stop],
                weights,
                transposed,
                y1[:m],
                y2[:m],
                d1[:m],
                d2[:m],
                d3[:m],
                df[:m],
                color_sums,
            )
            for n in range(m):
                for k in range(levels):
                    dfeatures[start + n, k] = df[n, k]
                for k in range(j):
                    dfeatures[start + n, k] += g0[n, k]

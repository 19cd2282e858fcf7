"""The best of a few triangles for each point, compiled: the inner loop of :mod:`.attachment`."""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
@no_type_check
def _along(ex, ey, ez, px, py, pz):
    """Fraction of edge e at which it comes closest to p (both relative to the edge's start)."""
    length = ex * ex + ey * ey + ez * ez
    if length == 0.0:
        return 0.0
    return min(max((ex * px + ey * py + ez * pz) / length, 0.0), 1.0)


@njit(cache=True, nogil=True)
@no_type_check
def _place(corners, px, py, pz):
    """Barycentric weights of corners b and c of the closest point of a triangle, and its distance^2.

    ``corners``: (3, 3) a, b, c.
    """
    ax, ay, az = corners[0, 0], corners[0, 1], corners[0, 2]
    bx, by, bz = corners[1, 0] - ax, corners[1, 1] - ay, corners[1, 2] - az
    cx, cy, cz = corners[2, 0] - ax, corners[2, 1] - ay, corners[2, 2] - az
    px, py, pz = px - ax, py - ay, pz - az
    bb = bx * bx + by * by + bz * bz
    bc = bx * cx + by * cy + bz * cz
    cc = cx * cx + cy * cy + cz * cz
    pb = px * bx + py * by + pz * bz
    pc = px * cx + py * cy + pz * cz
    area = bb * cc - bc * bc
    v = cc * pb - bc * pc
    w = bb * pc - bc * pb
    if area > 0.0 and v >= 0.0 and w >= 0.0 and v + w <= area:
        v, w = v / area, w / area
        dx, dy, dz = px - v * bx - w * cx, py - v * by - w * cy, pz - v * bz - w * cz
        return v, w, dx * dx + dy * dy + dz * dz
    # Outside the prism (or a sliver): the closest point lies on one of the edges ab, ac, bc.
    s = _along(bx, by, bz, px, py, pz)
    dx, dy, dz = px - s * bx, py - s * by, pz - s * bz
    v, w, best = s, 0.0, dx * dx + dy * dy + dz * dz
    s = _along(cx, cy, cz, px, py, pz)
    dx, dy, dz = px - s * cx, py - s * cy, pz - s * cz
    d = dx * dx + dy * dy + dz * dz
    if d < best:
        v, w, best = 0.0, s, d
    ex, ey, ez = cx - bx, cy - by, cz - bz
    s = _along(ex, ey, ez, px - bx, py - by, pz - bz)
    dx, dy, dz = px - bx - s * ex, py - by - s * ey, pz - bz - s * ez
    d = dx * dx + dy * dy + dz * dz
    if d < best:
        v, w, best = 1.0 - s, s, d
    return v, w, best


@njit(cache=True, nogil=True)
@no_type_check
def nearest_of(points, normals, triangles, face_normals, candidates, length, chosen, barycentric):
    """For each point the candidate with the smallest distance^2 + (length |normal difference|)^2.

    Args:
        points, normals: (n, 3) float64; unit normals.
        triangles, face_normals: (f, 3, 3) corners and (f, 3) unit normals, float64.
        candidates: (n, k) triangles to choose from; the first of equals is taken.
        length: in the unit of the points.
        chosen: (n,) int64, written: the triangle.
        barycentric: (n, 3) float64, written: the closest point's weights, in [0, 1], sum 1.

    Returns:
        (n,) float64 distances.
    """
    n, k = candidates.shape
    distance = np.empty(n)
    for i in range(n):
        best = np.inf
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        for j in range(k):
            f = candidates[i, j]
            v, w, squared = _place(triangles[f], px, py, pz)
            turned = 0.0
            for axis in range(3):
                turned += (normals[i, axis] - face_normals[f, axis]) ** 2
            cost = squared + length * length * turned
            if cost < best:
                best = cost
                chosen[i] = f
                barycentric[i, 0], barycentric[i, 1], barycentric[i, 2] = 1.0 - v - w, v, w
                distance[i] = np.sqrt(squared)
        barycentric[i, 0] = max(0.0, barycentric[i, 0])
    return distance

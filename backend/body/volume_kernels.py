"""Compiled kernels of :mod:`backend.body.body_volume`.

Lengths are grid cells: vertex x lies at index x, so sample (z, y, x) sits on whole numbers. Volumes
are indexed [z, y, x]; ``n`` is their edge.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit, prange

# Slices of one parallel task: enough tasks for any CPU, few enough that scanning all triangles in
# each one stays negligible.
_SLAB = 8
NO_TRIANGLE = -1
# Along its steepest axis a surface has an outside sample at most this far (cells) from every point.
_SEED_DISTANCE = 1.0
# Along its steepest axis a surface has an outside sample at most this far (cells) from every point.
_SEED_DISTANCE = 1.0
# Squared cell distances stay far below this for any grid that fits in memory.
_FAR = np.float32(1e12)


@njit(cache=True, nogil=True, inline="always")
@no_type_check
def _edge_side(ay, az, by, bz, y, z):
    """Twice the signed area of (a, b, p), bit for bit opposite when a and b swap."""
    if ay < by or (ay == by and az < bz):
        return (by - ay) * (z - az) - (bz - az) * (y - ay)
    return -((ay - by) * (z - bz) - (az - bz) * (y - by))


@njit(cache=True, nogil=True)
@no_type_check
def winding_numbers(vertices, faces, n, jitter_y, jitter_z, winding):
    """Winding number of the surface about every sample, by signed crossings along x.

    The rows are shifted by a tiny ``jitter`` so that none meets an edge or a corner exactly.
    """
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1] - jitter_y, vertices[a, 2] - jitter_z
        bx, by, bz = vertices[b, 0], vertices[b, 1] - jitter_y, vertices[b, 2] - jitter_z
        cx, cy, cz = vertices[c, 0], vertices[c, 1] - jitter_y, vertices[c, 2] - jitter_z
        y0 = int(np.ceil(max(0.0, min(ay, by, cy))))
        y1 = int(np.floor(min(n - 1.0, max(ay, by, cy))))
        z0 = int(np.ceil(max(0.0, min(az, bz, cz))))
        z1 = int(np.floor(min(n - 1.0, max(az, bz, cz))))
        for z in range(z0, z1 + 1):
            for y in range(y0, y1 + 1):
                wa = _edge_side(by, bz, cy, cz, y, z)
                wb = _edge_side(cy, cz, ay, az, y, z)
                wc = _edge_side(ay, az, by, bz, y, z)
                if wa > 0.0 and wb > 0.0 and wc > 0.0:
                    sign = -1
                elif wa < 0.0 and wb < 0.0 and wc < 0.0:
                    sign = 1
                else:
                    continue
                x = (wa * ax + wb * bx + wc * cx) / (wa + wb + wc)
                first = int(np.ceil(min(max(x, 0.0), float(n))))
                if first < n:
                    winding[z, y, first] += sign
    for z in range(n):
        for y in range(n):
            total = 0
            for x in range(n):
                total += winding[z, y, x]
                winding[z, y, x] = total


@njit(cache=True, nogil=True)
@no_type_check
def outer_triangles(vertices, faces, inside):
    """Whether each triangle comes within about two cells of a sample that is not inside.

    The others lie buried: where limbs overlap, or around a closed cavity.
    """
    n = inside.shape[0]
    keep = np.zeros(faces.shape[0], np.bool_)
    for f in range(faces.shape[0]):
        low = np.empty(3, np.int64)
        high = np.empty(3, np.int64)
        beyond = False
        for axis in range(3):
            p = vertices[faces[f, 0], axis]
            q = vertices[faces[f, 1], axis]
            r = vertices[faces[f, 2], axis]
            lowest = min(p, q, r) - 1.0
            highest = max(p, q, r) + 1.0
            beyond = beyond or lowest < 0.0 or highest > n - 1.0
            low[axis] = int(np.floor(max(0.0, min(lowest, n - 1.0))))
            high[axis] = int(np.ceil(max(0.0, min(highest, n - 1.0))))
        found = beyond
        for z in range(low[2], high[2] + 1):
            for y in range(low[1], high[1] + 1):
                for x in range(low[0], high[0] + 1):
                    if not inside[z, y, x]:
                        found = True
                        break
                if found:
                    break
            if found:
                break
        keep[f] = found
    return keep


@njit(cache=True, nogil=True, fastmath=True)
@no_type_check
def _along(ex, ey, ez, px, py, pz):
    """Fraction of edge e at which it comes closest to p (both relative to the edge's start)."""
    length = ex * ex + ey * ey + ez * ez
    if length == 0.0:
        return 0.0 * length
    return min(max((ex * px + ey * py + ez * pz) / length, 0.0), 1.0)


@njit(cache=True, nogil=True, fastmath=True)
@no_type_check
def _offset(corners, f, px, py, pz):
    """Vector from the closest point of triangle ``f`` to a point."""
    abx, aby, abz = corners[f, 3], corners[f, 4], corners[f, 5]
    acx, acy, acz = corners[f, 6], corners[f, 7], corners[f, 8]
    apx, apy, apz = px - corners[f, 0], py - corners[f, 1], pz - corners[f, 2]
    ab_ab = abx * abx + aby * aby + abz * abz
    ab_ac = abx * acx + aby * acy + abz * acz
    ac_ac = acx * acx + acy * acy + acz * acz
    d_ab = abx * apx + aby * apy + abz * apz
    d_ac = acx * apx + acy * apy + acz * apz
    area = ab_ab * ac_ac - ab_ac * ab_ac
    v = ac_ac * d_ab - ab_ac * d_ac
    w = ab_ab * d_ac - ab_ac * d_ab
    if area > 0.0 and v >= 0.0 and w >= 0.0 and v + w <= area:
        s, t = v / area, w / area
        return apx - s * abx - t * acx, apy - s * aby - t * acy, apz - s * abz - t * acz
    # Outside the prism (or a sliver): the closest point lies on an edge.
    s = _along(abx, aby, abz, apx, apy, apz)
    bx, by, bz = apx - s * abx, apy - s * aby, apz - s * abz
    best = bx * bx + by * by + bz * bz
    s = _along(acx, acy, acz, apx, apy, apz)
    dx, dy, dz = apx - s * acx, apy - s * acy, apz - s * acz
    d = dx * dx + dy * dy + dz * dz
    if d < best:
        best, bx, by, bz = d, dx, dy, dz
    bcx, bcy, bcz = acx - abx, acy - aby, acz - abz
    bpx, bpy, bpz = apx - abx, apy - aby, apz - abz
    s = _along(bcx, bcy, bcz, bpx, bpy, bpz)
    dx, dy, dz = bpx - s * bcx, bpy - s * bcy, bpz - s * bcz
    if dx * dx + dy * dy + dz * dz < best:
        bx, by, bz = dx, dy, dz
    return bx, by, bz


@njit(cache=True, nogil=True, parallel=True)
@no_type_check
def nearest_in_band(corners, boxes, band, distance, nearest):
    """Nearest triangle of, and exact distance to, every sample within ``band`` cells of one.

    Args:
        corners: (f, 9) corner a and the edges ab, ac.
        boxes: (f, 6) lowest x, y, z and highest x, y, z.
        band: cells.
        distance: (n, n, n) float32, written; infinite beyond the band.
        nearest: (n, n, n) int32, written; ``NO_TRIANGLE`` beyond the band.
    """
    n = nearest.shape[0]
    reach = band * band
    for slab in prange((n + _SLAB - 1) // _SLAB):
        z_first = slab * _SLAB
        z_last = min(n, z_first + _SLAB) - 1
        closest = distance[z_first : z_last + 1]
        closest[:] = np.float32(reach)
        nearest[z_first : z_last + 1] = NO_TRIANGLE
        for f in range(corners.shape[0]):
            if boxes[f, 5] + band < z_first or boxes[f, 2] - band > z_last:
                continue
            x0 = int(np.ceil(max(0.0, boxes[f, 0] - band)))
            y0 = int(np.ceil(max(0.0, boxes[f, 1] - band)))
            z0 = int(np.ceil(max(float(z_first), boxes[f, 2] - band)))
            x1 = int(np.floor(min(n - 1.0, boxes[f, 3] + band)))
            y1 = int(np.floor(min(n - 1.0, boxes[f, 4] + band)))
            z1 = int(np.floor(min(float(z_last), boxes[f, 5] + band)))
            for z in range(z0, z1 + 1):
                for y in range(y0, y1 + 1):
                    for x in range(x0, x1 + 1):
                        dx, dy, dz = _offset(
                            corners, f, np.float32(x), np.float32(y), np.float32(z)
                        )
                        d = dx * dx + dy * dy + dz * dz
                        if d < closest[z - z_first, y, x]:
                            closest[z - z_first, y, x] = d
                            nearest[z, y, x] = f
        for z in range(z_last + 1 - z_first):
            for y in range(n):
                for x in range(n):
                    d = closest[z, y, x]
                    closest[z, y, x] = np.sqrt(d) if d < reach else np.float32(np.inf)


@njit(cache=True, nogil=True)
@no_type_check
def _lower_envelope(height, source, n, out_height, out_source, hull, start):
    """One line of the exact distance transform: min over q of height[q] + (p - q)^2, with its q.

    The lower envelope of parabolas (Felzenszwalb and Huttenlocher, 2012).
    """
    count = 0
    for q in range(n):
        if height[q] >= _FAR:
            continue
        h = height[q] + np.float32(q * q)
        while count > 0:
            r = hull[count - 1]
            meet = (h - height[r] - np.float32(r * r)) / np.float32(2 * (q - r))
            if meet > start[count - 1]:
                break
            count -= 1
        start[count] = meet if count > 0 else -_FAR
        hull[count] = q
        count += 1
    if count == 0:
        for p in range(n):
            out_height[p] = _FAR
            out_source[p] = NO_TRIANGLE
        return
    k = 0
    for p in range(n):
        while k + 1 < count and start[k + 1] < p:
            k += 1
        q = hull[k]
        out_height[p] = height[q] + np.float32((p - q) * (p - q))
        out_source[p] = source[q]


@njit(cache=True, nogil=True, parallel=True)
@no_type_check
def spread_nearest(distance, inside, nearest, squared):
    """Give every sample the triangle of its nearest seed (exact transform in three passes).

    Seeds are the samples just outside the surface: one side only, because seeds from both sides lie
    up to two cells apart in distance and would compete unfairly.

    Args:
        distance: (n, n, n) float32, from :func:`nearest_in_band`.
        inside: (n, n, n) bool.
        nearest: (n, n, n) int32, from :func:`nearest_in_band`; overwritten.
        squared: (n, n, n) float32 workspace.
    """
    n = nearest.shape[0]
    for z in prange(n):
        hull = np.empty(n, np.int64)
        start = np.empty(n, np.float32)
        height = np.empty(n, np.float32)
        source = np.empty(n, np.int32)
        out_height = np.empty(n, np.float32)
        out_source = np.empty(n, np.int32)
        for y in range(n):
            for x in range(n):
                source[x] = nearest[z, y, x]
                seed = distance[z, y, x] <= _SEED_DISTANCE and not inside[z, y, x]
                height[x] = np.float32(0.0) if seed else _FAR
            _lower_envelope(height, source, n, out_height, out_source, hull, start)
            for x in range(n):
                squared[z, y, x] = out_height[x]
                nearest[z, y, x] = out_source[x]
        for x in range(n):
            for y in range(n):
                height[y] = squared[z, y, x]
                source[y] = nearest[z, y, x]
            _lower_envelope(height, source, n, out_height, out_source, hull, start)
            for y in range(n):
                squared[z, y, x] = out_height[y]
                nearest[z, y, x] = out_source[y]
    for y in prange(n):
        hull = np.empty(n, np.int64)
        start = np.empty(n, np.float32)
        height = np.empty(n, np.float32)
        source = np.empty(n, np.int32)
        out_height = np.empty(n, np.float32)
        out_source = np.empty(n, np.int32)
        for x in range(n):
            for z in range(n):
                height[z] = squared[z, y, x]
                source[z] = nearest[z, y, x]
            _lower_envelope(height, source, n, out_height, out_source, hull, start)
            for z in range(n):
                nearest[z, y, x] = out_source[z]


@njit(cache=True, nogil=True, parallel=True)
@no_type_check
def finish_distance(corners, nearest, inside, cell, distance):
    """Fill ``distance`` beyond the band, give it its sign and the unit of ``cell``."""
    n = nearest.shape[0]
    for z in prange(n):
        for y in range(n):
            for x in range(n):
                d = distance[z, y, x]
                if d == np.inf:
                    dx, dy, dz = _offset(
                        corners, nearest[z, y, x], np.float32(x), np.float32(y), np.float32(z)
                    )
                    d = np.sqrt(dx * dx + dy * dy + dz * dz)
                distance[z, y, x] = -d * cell if inside[z, y, x] else d * cell

"""A closed surface as a grid of signed distances: what the field starts from and is held to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int64
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from backend.body.volume_kernels import (
    NO_TRIANGLE,
    finish_distance,
    nearest_in_band,
    outer_triangles,
    spread_nearest,
    winding_numbers,
)
from backend.errors import HumanRefError

# Samples this near (cells) get their exact distance; all others the distance to the triangle that is
# nearest to the nearest sample outside the surface.
_BAND = 3.0
# Rows are moved by these fractions of a cell so that none runs through an edge; any small numbers
# that no mesh was made with do.
_JITTER_Y, _JITTER_Z = 1.9e-5, 3.1e-5


def signed_distance_grid(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    resolution: int,
    lower: float | Float[np.ndarray, "3"] = -1.0,
    upper: float | Float[np.ndarray, "3"] = 1.0,
) -> Float32[np.ndarray, "n n n"]:
    """Signed distance to the outside of a closed surface, sampled on a cube.

    Sample [k, j, i] sits at lower + (upper - lower) * (i, j, k) / (n - 1) in (x, y, z): the layout
    that ``torch.nn.functional.grid_sample(align_corners=True)`` reads. Positive outside, in the
    unit of ``vertices``. Exact within three cells of the surface; elsewhere never too small, and
    too large by 0.02 cells in the median and less than one cell at worst (near the medial axis).

    A sample is inside where the winding number is positive, and in every pocket that outside air
    cannot reach on the grid; so overlapping limbs and a closed mouth are solid, and distances are
    to the surface that can be touched from outside. Holes (SMPL-X's eye sockets) count as closed
    by a fan.

    Args:
        vertices: in any frame; parts may lie beyond the cube.
        faces: counter-clockwise seen from outside; may intersect each other.
        resolution: samples along an edge, at least 2.
        lower, upper: corners of the cube, in the unit of ``vertices``.

    Raises:
        HumanRefError: ``mesh_inside_out``, ``invalid_mesh`` (not finite, neighbouring faces with
            opposite orientation, or nothing of it inside the cube).
    """
    low = np.broadcast_to(np.asarray(lower, np.float64), 3)
    size = np.broadcast_to(np.asarray(upper, np.float64), 3) - low
    if resolution < 2 or size.min() <= 0 or np.ptp(size) > 1e-6 * size.max():
        raise ValueError("signed_distance_grid needs a cube and at least 2 samples along its edge")
    if not np.isfinite(vertices).all() or len(faces) == 0:
        raise HumanRefError("invalid_mesh", "The mesh is empty or not finite.")
    cell = float(size[0]) / (resolution - 1)
    points, triangles = _close_holes((vertices.astype(np.float64) - low) / cell, faces)
    inside = _solid(points, triangles, resolution)

    triangles = triangles[outer_triangles(points, triangles, inside)]
    a, b, c = (points[triangles[:, k]] for k in range(3))
    corners = np.concatenate([a, b - a, c - a], 1).astype(np.float32)
    boxes = np.concatenate([np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)], 1)
    shape = (resolution,) * 3
    nearest, distance = np.empty(shape, np.int32), np.empty(shape, np.float32)
    nearest_in_band(corners, boxes, _BAND, distance, nearest)
    spread_nearest(distance, inside, nearest, np.empty(shape, np.float32))
    if nearest[0, 0, 0] == NO_TRIANGLE:
        raise HumanRefError("invalid_mesh", "No part of the mesh lies inside the sampled cube.")
    finish_distance(corners, nearest, inside, np.float32(cell), distance)
    return distance


def _close_holes(
    points: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w 3"], Int64[np.ndarray, "g 3"]]:
    """Close every boundary loop with a fan around its middle; a closed mesh stays as it is."""
    triangles = faces.astype(np.int64)
    n = len(points)
    start = triangles.ravel()
    end = np.roll(triangles, -1, axis=1).ravel()
    surplus = sparse.coo_matrix((np.ones(len(start), np.int64), (start, end)), (n, n)).tocsr()
    surplus = (surplus - surplus.T).tocoo()
    if len(surplus.data) and surplus.data.max() > 1:
        raise HumanRefError(
            "invalid_mesh", "Neighbouring faces of the mesh are oriented differently."
        )
    alone = surplus.data > 0
    start, end = surplus.row[alone], surplus.col[alone]
    if len(start) == 0:
        return points, triangles
    rim = sparse.coo_matrix((np.ones(len(start)), (start, end)), (n, n))
    _, loop = csgraph.connected_components(rim, directed=False)
    middles, loop_of_edge = np.unique(loop[start], return_inverse=True)
    size = np.bincount(loop_of_edge, minlength=len(middles))
    middle = np.stack(
        [np.bincount(loop_of_edge, points[start, axis]) / size for axis in range(3)], 1
    )
    fans = np.stack([end, start, n + loop_of_edge], 1)
    return np.concatenate([points, middle]), np.concatenate([triangles, fans])


def _solid(
    points: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], n: int
) -> Bool[np.ndarray, "n n n"]:
    """Samples inside the surface (points in cells), pockets included."""
    winding = np.zeros((n, n, n), np.int8)
    winding_numbers(points, faces, n, _JITTER_Y, _JITTER_Z, winding)
    inside = winding > 0
    if (winding < 0).sum() > inside.sum():
        raise HumanRefError(
            "mesh_inside_out",
            "The mesh's faces are oriented inwards.",
            "Flip them so that they are counter-clockwise seen from outside.",
        )
    return _fill_pockets(inside, points)


def _fill_pockets(
    inside: Bool[np.ndarray, "n n n"], points: Float[np.ndarray, "v 3"]
) -> Bool[np.ndarray, "n n n"]:
    """Make solid what air from the surface's bounding box (one cell wider) cannot reach."""
    n = inside.shape[0]
    low = np.clip(np.floor(points.min(0)).astype(int) - 1, 0, n)[::-1]
    high = np.clip(np.ceil(points.max(0)).astype(int) + 2, 0, n)[::-1]
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    if inside[box].size == 0:
        return inside
    air, _ = ndimage.label(~inside[box])
    rim = np.ones(air.shape, bool)
    rim[1:-1, 1:-1, 1:-1] = False
    reached = np.zeros(int(air.max()) + 1, bool)
    reached[np.unique(air[rim])] = True
    reached[0] = False
    filled = inside.copy()
    filled[box] = ~reached[air]
    return filled

"""The outer surface of a mesh, and distances between two of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.spatial import cKDTree

from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import Mesh
from backend.geometry.rasterizer import rasterize

SAMPLES = 60_000
_RESOLUTION = 512
# From the sides, from above and below: what none of these sees lies inside.
_DIRECTIONS = tuple(
    [(float(a), 0.0) for a in range(0, 360, 45)]
    + [(float(a), e) for a in range(0, 360, 90) for e in (-45.0, 45.0)]
    + [(0.0, 90.0), (0.0, -90.0)]
)
_NEAREST = 4


@dataclass(frozen=True)
class Surface:
    """Points spread evenly over what can be seen of a mesh from outside; metres."""

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    """Of the triangles, unit length, towards where the point is seen from."""
    triangles: Float[np.ndarray, "n 3 3"]
    """Corners of the triangle that each point lies on."""


def outer_surface(mesh: Mesh, samples: int = SAMPLES, seed: int = 0) -> Surface:
    """Sample a mesh by area and keep what at least one of 18 views sees.

    Shells under other shells (skin under cloth) are left out, however the mesh is layered; triangles may
    face either way.

    Args:
        samples: points drawn before the hidden ones are dropped.
    """
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = 0.5 * np.linalg.norm(cross, axis=1)
    drawn = np.random.default_rng(seed)
    face = drawn.choice(len(area), samples, p=area / area.sum())
    uv = drawn.random((samples, 2))
    flip = uv.sum(1) > 1.0
    uv[flip] = 1.0 - uv[flip]
    weights = np.concatenate([1.0 - uv.sum(1, keepdims=True), uv], 1)
    points = np.einsum("nk,nkc->nc", weights, corners[face])
    normals = cross[face] / (2.0 * area[face, None])
    facing = _facing(mesh, points, normals)
    seen = facing != 0.0
    signs = np.sign(facing[seen, None])
    return Surface(points[seen], normals[seen] * signs, corners[face[seen]])


def _facing(
    mesh: Mesh, points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n"]:
    """Sum over the views that see a point of its normal's cosine towards them; 0 where none does.

    A view counts by how little is before the point: the sides of a thin sheet are told apart.
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    middle = (low + high) / 2
    half = 0.51 * float(np.linalg.norm(high - low))
    # As deep as a pixel is wide: a surface tilted by up to 45 degrees still sees itself.
    tolerance = 2.0 / _RESOLUTION
    total = np.zeros(len(points))
    for azimuth, elevation in _DIRECTIONS:
        camera = OrthographicCamera(
            azimuth, elevation, half, (float(middle[0]), float(middle[1]), float(middle[2]))
        )
        depth = rasterize(camera.project(mesh.vertices), mesh.faces, _RESOLUTION).depth
        here = camera.project(points)
        column = np.clip(((here[:, 0] + 1) * 0.5 * _RESOLUTION).astype(int), 0, _RESOLUTION - 1)
        row = np.clip(((1 - here[:, 1]) * 0.5 * _RESOLUTION).astype(int), 0, _RESOLUTION - 1)
        before = np.clip((depth[row, column] - here[:, 2]) / tolerance, 0.0, 1.0)
        total += (1.0 - before) * (normals @ camera.axes()[2])
    return total


def distances(
    source: Surface, target: Surface
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """From each point of ``source`` to the surface ``target``: metres, and degrees between normals.

    The nearest point lies on the triangle of one of the nearest samples, and not on the sample itself.
    """
    tree = cKDTree(target.points)
    near = tree.query(source.points, k=min(_NEAREST, len(target.points)))[1]
    near = near.reshape(len(source.points), -1)
    best = np.full(len(source.points), np.inf)
    normal = np.zeros_like(source.normals)
    for column in near.T:
        closest = trimesh.triangles.closest_point(target.triangles[column], source.points)
        distance = np.linalg.norm(closest - source.points, axis=1)
        better = distance < best
        best[better] = distance[better]
        normal[better] = target.normals[column[better]]
    cosine = np.clip((normal * source.normals).sum(1), -1.0, 1.0)
    return best, np.degrees(np.arccos(cosine))


def compare_surfaces(ours: Surface, truth: Surface) -> dict[str, float]:
    """``chamfer_cm``, ``point_to_surface_cm`` and ``normal_error_deg``.

    Chamfer is the mean of the mean distances both ways; point-to-surface the mean distance from ours to
    the truth; the normal error the mean angle between the normals at nearest points, of both ways.
    """
    there, there_angle = distances(ours, truth)
    back, back_angle = distances(truth, ours)
    return {
        "chamfer_cm": 50.0 * float(there.mean() + back.mean()),
        "point_to_surface_cm": 100.0 * float(there.mean()),
        "normal_error_deg": 0.5 * float(there_angle.mean() + back_angle.mean()),
    }

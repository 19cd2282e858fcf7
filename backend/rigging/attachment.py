"""Where on the body each point of the clothed surface belongs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from trimesh.triangles import closest_point, points_to_barycentric

from backend.body.model import PosedBody

# Metres that a disagreement of normals by one unit vector counts as. A sleeve that hangs 3 cm from the
# trunk must not choose the trunk, whose normal there points the other way (2 * 0.05 = 10 cm away).
_NORMAL_LENGTH = 0.05
_CANDIDATES = 12


@dataclass(frozen=True)
class Attachment:
    """A point of the body's outer surface for each of n points."""

    corners: Int[np.ndarray, "n 3"]
    """Body vertices of the triangle."""
    barycentric: Float[np.ndarray, "n 3"]
    """Weights of those corners: in [0, 1], sum 1."""
    distance: Float[np.ndarray, "n"]
    """Metres between the point and its place on the body."""


def attach(
    points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], body: PosedBody
) -> Attachment:
    """The nearest place on the body's outer surface among those that face the same way.

    Args:
        points: world frame, metres.
        normals: unit outward normals there.
        body: posed like the points.

    Nearness is distance^2 + (5 cm * |difference of unit normals|)^2.
    """
    faces = body.faces[body.outer_faces]
    triangles = body.vertices[faces].astype(np.float64)
    face_normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    area = np.linalg.norm(face_normals, axis=1)
    sound = area > 1e-12
    faces, triangles = faces[sound], triangles[sound]
    face_normals = face_normals[sound] / area[sound, None]
    tree = cKDTree(np.hstack([triangles.mean(1), _NORMAL_LENGTH * face_normals]))
    k = min(_CANDIDATES, len(faces))
    _, candidate = tree.query(np.hstack([points, _NORMAL_LENGTH * normals]), k=k)
    candidate = candidate.reshape(len(points), k)
    repeated = np.repeat(points.astype(np.float64), k, axis=0)
    place = closest_point(triangles[candidate.ravel()], repeated)  # type: ignore[no-untyped-call]
    squared = ((place - repeated) ** 2).sum(1).reshape(len(points), k)
    turned = ((normals[:, None] - face_normals[candidate]) ** 2).sum(2)
    best = np.argmin(squared + _NORMAL_LENGTH**2 * turned, axis=1)
    rows = np.arange(len(points))
    chosen = candidate[rows, best]
    barycentric = points_to_barycentric(  # type: ignore[no-untyped-call]
        triangles[chosen], place.reshape(len(points), k, 3)[rows, best]
    )
    barycentric = np.clip(barycentric, 0.0, 1.0)
    barycentric /= barycentric.sum(1, keepdims=True)
    return Attachment(faces[chosen], barycentric, np.sqrt(squared[rows, best]))

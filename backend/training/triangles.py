"""Small helpers for triangle meshes: fans from polygons, and cutting along a level of a field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix

from backend.training.makehuman import Polygons


def triangulate(polygons: Polygons) -> Int[np.ndarray, "f 3"]:
    """Fans around each polygon's first corner, in order."""
    fans = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return np.array(fans, np.int64).reshape(-1, 3)


@dataclass(frozen=True)
class Cut:
    """The part of a mesh where a field is positive: new vertices as mixtures of two old ones."""

    first: Int[np.ndarray, "n"]
    second: Int[np.ndarray, "n"]
    share: Float[np.ndarray, "n"]
    """Of ``second``; 0 for a vertex that was there before."""
    faces: Int[np.ndarray, "m 3"]

    def carry(self, values: Float[np.ndarray, "v *c"]) -> Float[np.ndarray, "n *c"]:
        """Vertex values of the old mesh on the new vertices."""
        share = self.share.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(values[self.first] * (1.0 - share) + values[self.second] * share)


def cut(faces: Int[np.ndarray, "f 3"], field: Float[np.ndarray, "v"]) -> Cut:
    """Keep where ``field`` > 0; triangles across the border are cut along it, so hems are smooth.

    Orientation is kept. Vertices that no kept triangle uses are dropped.
    """
    inside = field > 0.0
    count = inside[faces].sum(1)
    whole = faces[count == 3]
    corners: list[Int[np.ndarray, "k 3 2"]] = [np.stack([whole, whole], -1)]
    for kept in (1, 2):
        # Turned so that the odd corner out comes first.
        f = faces[count == kept]
        odd = (inside[f] == (kept == 1)).argmax(1)
        rows = np.arange(len(f))
        a, b, c = (f[rows, (odd + k) % 3] for k in range(3))
        ab, ac = np.stack([a, b], -1), np.stack([a, c], -1)
        aa, bb, cc = (np.stack([x, x], -1) for x in (a, b, c))
        if kept == 1:
            corners.append(np.stack([aa, ab, ac], 1))
        else:
            corners += [np.stack([ab, bb, cc], 1), np.stack([ab, cc, ac], 1)]
    pairs = np.sort(np.concatenate(corners).reshape(-1, 2), axis=1)
    used, new_faces = np.unique(pairs, axis=0, return_inverse=True)
    first, second = used[:, 0], used[:, 1]
    difference = field[first] - field[second]
    safe = np.where(difference == 0.0, 1.0, difference)
    share = np.where(first == second, 0.0, field[first] / safe)
    return Cut(first, second, share, np.asarray(new_faces).reshape(-1, 3))


def smooth(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], rounds: int
) -> Float[np.ndarray, "v 3"]:
    """Move each vertex ``rounds`` times halfway to the mean of its neighbours; borders stay."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    n = len(vertices)
    directed = coo_matrix((np.ones(len(edges)), edges.T), (n, n)).tocsr()
    both = directed + directed.T
    # An edge of a single triangle has no counterpart in the other direction.
    border = np.zeros(n, bool)
    lonely = (abs(directed - directed.T) > 0).tocoo()
    border[lonely.row] = True
    degree = np.maximum(np.asarray(both.sum(1)).ravel(), 1.0)
    result = vertices.copy()
    for _ in range(rounds):
        mean = both @ result / degree[:, None]
        result = np.where(border[:, None], result, 0.5 * (result + mean))
    return result

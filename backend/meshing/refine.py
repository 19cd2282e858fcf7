"""More triangles where colour changes within an edge: a conforming one-to-four split."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from backend.geometry.mesh import Mesh
from backend.meshing.clean import half_edges


def unique_edges(
    faces: Int[np.ndarray, "f 3"],
) -> tuple[Int[np.ndarray, "e 2"], Int[np.ndarray, "f 3"]]:
    """Undirected edges, and for each triangle the edges (0 1), (1 2), (2 0) by index."""
    directed = np.sort(half_edges(faces), 1).astype(np.int64)
    n = int(faces.max()) + 1
    key, index = np.unique(directed[:, 0] * n + directed[:, 1], return_inverse=True)
    return np.stack([key // n, key % n], 1), index.reshape(3, len(faces)).T


def split_edges(
    mesh: Mesh,
    edges: Int[np.ndarray, "e 2"],
    of_face: Int[np.ndarray, "f 3"],
    wanted: Bool[np.ndarray, "e"],
) -> Mesh:
    """Put a vertex in the middle of each wanted edge and re-triangulate: no cracks, same surface.

    Args:
        mesh: closed manifold.
        edges, of_face: from :func:`unique_edges`.
        wanted: the edges to split.
    """
    added = np.full(len(edges), -1, np.int64)
    added[wanted] = len(mesh.vertices) + np.arange(int(wanted.sum()))
    middle: Float[np.ndarray, "k 3"] = mesh.vertices[edges[wanted]].mean(1)
    vertices = np.concatenate([mesh.vertices, middle.astype(mesh.vertices.dtype)])
    corner = mesh.faces.astype(np.int64)
    middle_of = added[of_face]
    count = (middle_of >= 0).sum(1)
    parts = [corner[count == 0]]
    for k in range(3):
        # One split edge, (k k+1); then two split edges, with (k k+1) the one left whole.
        one = (count == 1) & (middle_of[:, k] >= 0)
        a, b, c = (corner[one][:, (k + i) % 3] for i in range(3))
        m = middle_of[one][:, k]
        parts += [np.stack([a, m, c], 1), np.stack([m, b, c], 1)]
        two = (count == 2) & (middle_of[:, k] < 0)
        a, b, c = (corner[two][:, (k + i) % 3] for i in range(3))
        bc, ca = middle_of[two][:, (k + 1) % 3], middle_of[two][:, (k + 2) % 3]
        parts += [np.stack([c, ca, bc], 1), np.stack([a, b, bc], 1), np.stack([a, bc, ca], 1)]
    all_three = count == 3
    (a, b, c), (ab, bc, ca) = corner[all_three].T, middle_of[all_three].T
    parts += [np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
    return Mesh(vertices, np.concatenate(parts).astype(np.int32))

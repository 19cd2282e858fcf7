"""One closed, manifold piece out of whatever marching cubes returned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from backend.errors import HumanRefError
from backend.geometry.mesh import Mesh


@dataclass(frozen=True)
class Topology:
    """What the faces alone say about a mesh."""

    components: int
    open_edges: int
    """Edges with one triangle: holes."""
    crowded_edges: int
    """Edges with more than two triangles, or two that disagree on what is outside."""
    handles: int
    """Genus summed over the components; meaningful for closed manifolds."""

    @property
    def closed_manifold(self) -> bool:
        """Watertight, consistently oriented, no edge with more than two triangles."""
        return self.open_edges == 0 and self.crowded_edges == 0


def half_edges(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "e 2"]:
    """The three directed edges of every triangle, grouped by corner."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def topology(faces: Int[np.ndarray, "f 3"]) -> Topology:
    """Counts components, holes, non-manifold edges and handles."""
    used, compact = np.unique(faces, return_inverse=True)
    directed = half_edges(compact.reshape(faces.shape)).astype(np.int64)
    n = len(used)
    key = np.sort(directed, 1) @ np.array([n, 1])
    _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
    direction = np.bincount(inverse, np.where(directed[:, 0] < directed[:, 1], 1, -1))
    components = connected_components(_graph(directed, n), directed=False)[0]
    euler = n - len(count) + len(faces)
    return Topology(
        components=int(components),
        open_edges=int((count == 1).sum()),
        crowded_edges=int(((count > 2) | ((count == 2) & (direction != 0))).sum()),
        handles=int(components - euler // 2),
    )


def _graph(edges: np.ndarray, n: int) -> csr_matrix:
    ones = np.ones(len(edges), np.float64)
    return csr_matrix(coo_matrix((ones, (edges[:, 0], edges[:, 1])), (n, n)))


def vertex_adjacency(faces: Int[np.ndarray, "f 3"], n: int) -> csr_matrix:
    """Symmetric (n, n) matrix with 1 where two vertices share an edge."""
    graph = _graph(half_edges(faces), n)
    graph = graph + graph.T
    graph.data[:] = 1.0
    return graph


def compact(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """The faces ``keep`` (mask or indices) selects, without the vertices that they do not use."""
    used, faces = np.unique(mesh.faces[keep], return_inverse=True)
    return Mesh(mesh.vertices[used], faces.reshape(-1, 3).astype(np.int32))


def largest_component(mesh: Mesh) -> Mesh:
    """The connected piece with the largest bounding box; floating bits and inner cavities go.

    A cavity lies inside the piece that holds it, so its box is the smaller one.
    """
    n, label = connected_components(_graph(half_edges(mesh.faces), len(mesh.vertices)), False)
    if n == 1:
        return mesh
    low = np.full((n, 3), np.inf)
    high = np.full((n, 3), -np.inf)
    np.minimum.at(low, label, mesh.vertices)
    np.maximum.at(high, label, mesh.vertices)
    best = int(np.argmax(np.linalg.norm(high - low, axis=1)))
    return compact(mesh, label[mesh.faces[:, 0]] == best)


def clean(mesh: Mesh) -> Mesh:
    """The largest piece, which is watertight and consistently oriented.

    Raises:
        HumanRefError: ``mesh_not_closed`` when the surface has holes or non-manifold edges.
    """
    piece = largest_component(mesh)
    found = topology(piece.faces)
    if not found.closed_manifold:
        raise HumanRefError(
            "mesh_not_closed",
            f"The extracted surface has {found.open_edges} open and {found.crowded_edges} "
            "non-manifold edges.",
            "Generate again with another --seed or a higher meshing resolution.",
        )
    return piece

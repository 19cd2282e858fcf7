"""A mesh cut into flat pieces for a texture: every chart is a straight view along an axis.

The photo is such a view (scaled orthographic, along -z), so what it shows keeps its own pixel grid in
the texture, and a painter recognises front, back and sides of each part. Charts come from faces that
look the same way, joined over edges; where one hides another in that view they are set apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from backend.geometry.mesh import Mesh
from backend.meshing.refine import unique_edges

# Towards the viewer, right and up of each view: front, back, left, right, top, bottom.
VIEWS = np.array(
    [
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
        [[0, 0, -1], [-1, 0, 0], [0, 1, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[-1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    ],
    np.float64,
)
FRONT = 0

# Cosine a view is granted over the others: the photo's own, then the one a painter looks at next.
_PREFERENCE = np.array([0.3, 0.12, 0.0, 0.0, 0.0, 0.0])
# A face seen more obliquely than this is stretched too much to stay in a view (cosine).
_LEAST_FACING = 0.12
_SMOOTHINGS, _ABSORPTIONS = 12, 4
# Pieces with less surface than this share of the whole join a neighbour where they can.
_SMALL_SHARE = 2e-3
# Samples along the mesh's longest side at which faces of a chart are compared.
_SAMPLES = 2500


@dataclass(frozen=True)
class Charts:
    """Flat pieces of a mesh, each in the plane of its view."""

    of_face: Int[np.ndarray, "f"]
    """Chart of each face, 0 .. count - 1."""
    view: Int[np.ndarray, "c"]
    """Row of :data:`VIEWS`."""
    corners: Float[np.ndarray, "f 3 2"]
    """Right and up in the chart's view, in the mesh's unit."""

    @property
    def count(self) -> int:
        """Number of charts."""
        return len(self.view)


def make_charts(mesh: Mesh) -> Charts:
    """Cut a mesh into charts in which no face hides another or is seen from behind.

    Args:
        mesh: manifold, any unit; the photo's view is along -z.
    """
    corner = mesh.vertices[mesh.faces].astype(np.float64)
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = 0.5 * np.linalg.norm(cross, axis=1)
    normal = cross / np.maximum(2.0 * area, 1e-30)[:, None]
    pairs = face_pairs(mesh.faces)
    facing = normal @ VIEWS[:, 0].T
    label = _labels(normal, facing, area, pairs)
    layer = np.zeros(len(mesh.faces), np.int64)
    flat = np.einsum("fkd,fad->fka", corner, VIEWS[label, 1:])
    depth = np.einsum("fkd,fd->f", corner, VIEWS[label, 0])
    while True:
        chart = _components(label, layer, pairs)
        hidden = _hidden_faces(flat, depth, chart)
        # Ends: of the faces of a chart that meet, the nearest always stays.
        if not hidden.any():
            break
        layer[hidden] += 1
    first = np.unique(chart, return_index=True)[1]
    return Charts(of_face=chart, view=label[first], corners=flat)


def face_pairs(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "p 2"]:
    """Neighbouring faces: one row an inner edge of a manifold."""
    _, of_face = unique_edges(faces)
    edge = of_face.T.ravel()
    order = np.argsort(edge, kind="stable")
    face = np.tile(np.arange(len(faces)), 3)[order]
    edge = edge[order]
    same = edge[1:] == edge[:-1]
    return np.stack([face[:-1][same], face[1:][same]], 1)


def _labels(
    normal: Float[np.ndarray, "f 3"],
    facing: Float[np.ndarray, "f 6"],
    area: Float[np.ndarray, "f"],
    pairs: Int[np.ndarray, "p 2"],
) -> Int[np.ndarray, "f"]:
    """A view for each face: what its surroundings look towards, as far as it faces that view itself."""
    graph = _graph(pairs, len(area))
    mass = graph + csr_matrix(
        (np.ones(len(area)), (np.arange(len(area)), np.arange(len(area)))), graph.shape
    )
    score = facing + _PREFERENCE
    for _ in range(_SMOOTHINGS):
        score = (mass @ (score * area[:, None])) / np.maximum(mass @ area, 1e-30)[:, None]
    possible = facing >= _LEAST_FACING
    # A cube's corner faces three views by 0.58, so some view is always possible, slivers apart.
    possible[~possible.any(1)] = True
    label = np.where(possible, score, -np.inf).argmax(1)
    least = _SMALL_SHARE * area.sum()
    for _ in range(_ABSORPTIONS):
        piece = _components(label, np.zeros_like(label), pairs)
        small = np.bincount(piece, area)[piece] < least
        # A face of a small piece takes the view that most of its neighbours outside the piece have.
        votes = np.zeros((len(label), len(VIEWS)))
        for a, b in (pairs.T, pairs[:, ::-1].T):
            ask = small[a] & (piece[a] != piece[b])
            np.add.at(votes, (piece[a[ask]], label[b[ask]]), np.sqrt(area[b[ask]]))
        wish = votes[piece]
        wish[~possible] = 0.0
        change = small & (wish.max(1) > 0)
        if not change.any():
            break
        label = np.where(change, wish.argmax(1), label)
    return label


def _graph(pairs: Int[np.ndarray, "p 2"], n: int) -> csr_matrix:
    ones = np.ones(len(pairs))
    half = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), (n, n))
    return csr_matrix(half + half.T)


def _components(
    label: Int[np.ndarray, "f"], layer: Int[np.ndarray, "f"], pairs: Int[np.ndarray, "p 2"]
) -> Int[np.ndarray, "f"]:
    """Faces joined over edges with the same view and layer: a number each, from 0."""
    a, b = pairs.T
    joined = (label[a] == label[b]) & (layer[a] == layer[b])
    return connected_components(_graph(pairs[joined], len(label)), directed=False)[1]


def _hidden_faces(
    flat: Float[np.ndarray, "f 3 2"], depth: Float[np.ndarray, "f"], chart: Int[np.ndarray, "f"]
) -> Bool[np.ndarray, "f"]:
    """Faces that share a sample of their chart's plane with a nearer face of the same chart."""
    n = int(chart.max()) + 1
    cell = float(np.ptp(flat.reshape(-1, 2), axis=0).max()) / _SAMPLES
    low = np.full((n, 2), np.inf)
    high = np.full((n, 2), -np.inf)
    np.minimum.at(low, chart, flat.min(1))
    np.maximum.at(high, chart, flat.max(1))
    size = np.ceil((high - low) / cell).astype(np.int64) + 1
    start = np.concatenate([[0], np.cumsum(size.prod(1))])
    grid = (flat - low[chart][:, None]) / cell
    hidden = np.zeros(len(chart), np.bool_)
    nearest = np.full(start[-1], -1, np.int32)
    _find_hidden(grid, depth, chart, start, size[:, 0], nearest, hidden)
    return hidden


@njit(cache=True, nogil=True)
@no_type_check
def _find_hidden(grid, depth, chart, start, width, nearest, hidden):
    for f in range(len(chart)):
        ax, ay = grid[f, 0, 0], grid[f, 0, 1]
        bx, by = grid[f, 1, 0], grid[f, 1, 1]
        cx, cy = grid[f, 2, 0], grid[f, 2, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0.0:
            continue
        row_start, row = start[chart[f]], width[chart[f]]
        for i in range(int(np.ceil(min(ay, by, cy))), int(np.floor(max(ay, by, cy))) + 1):
            for j in range(int(np.ceil(min(ax, bx, cx))), int(np.floor(max(ax, bx, cx))) + 1):
                wa = ((bx - j) * (cy - i) - (by - i) * (cx - j)) / area
                wb = ((cx - j) * (ay - i) - (cy - i) * (ax - j)) / area
                # Strictly inside: neighbours share their edge.
                if wa <= 1e-9 or wb <= 1e-9 or 1.0 - wa - wb <= 1e-9:
                    continue
                at = row_start + i * row + j
                other = nearest[at]
                if other < 0:
                    nearest[at] = f
                elif depth[f] > depth[other]:
                    hidden[other] = True
                    nearest[at] = f
                else:
                    hidden[f] = True

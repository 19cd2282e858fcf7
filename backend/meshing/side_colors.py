"""Colours of the flanks, which neither the photo nor the view from behind shows.

Just inside an outline the photo's pixels are mixed with the background and stretched over the surface
that turns away; what hides between arm and trunk is in no picture at all. There the fitted colours are
noise. Colours flow in from front and back instead, around the body rather than along it, and hardly across
the seams that the fitted colours show (sleeve and hand, hair and skin).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import cg

from backend.geometry.frames import PhotoCamera
from backend.geometry.mesh import ColoredMesh
from backend.meshing.clean import vertex_adjacency
from backend.meshing.photo_view import PhotoView, Ramp, SeenSurface

# The photo is believed almost up to the outline: a front view must stay as sharp as it was fitted. What
# guidance paints on the back counts for less. Distances in pixels of the fit.
_FRONT_FACING, _FRONT_OUTLINE = Ramp(0.01, 0.1), Ramp(0.0, 1.0)
_BACK_FACING, _BACK_OUTLINE = Ramp(0.02, 0.2), Ramp(1.0, 3.0)
# Share of the flow that goes along the body; contrast at which a seam stops three fifths of it; the
# least that crosses any seam, so that a dark patch surrounded by seams is washed out as well.
_ALONG, _SEAM, _LEAK = 0.03, 0.08, 0.02
# Hold on the fitted colours where they are not trusted at all: what no flow reaches stays as it is.
_LOOSE = 1e-4


def settle_sides(mesh: ColoredMesh, view: PhotoView, pixel: float) -> ColoredMesh:
    """Replace the colours of what no picture shows well by their surroundings'.

    Minimises sum_v t_v / (1 - t_v) |c_v - fitted_v|^2 + sum_edges w_e |c_i - c_j|^2 with t the trust in a
    vertex, seen from the front or from behind, and w the flow over an edge.

    Args:
        mesh: in the world frame of ``view``'s camera.
        pixel: of the pictures that the colours were fitted to, metres.
    """
    trust = trust_of_views(mesh, view, pixel, _FRONT_FACING, _BACK_FACING)
    free = trust < 1.0
    flow = _flow(mesh, trust)
    # Half trust holds as firmly as a neighbour pulls; whole trust is not asked again.
    hold = (_LOOSE + trust / np.maximum(1.0 - trust, 1e-3))[free].astype(np.float64)
    own = flow[free][:, free]
    system = (diags(np.asarray(flow[free].sum(1)).ravel() + hold) - own).tocsr()
    preconditioner = diags(1.0 / system.diagonal())
    colors = mesh.colors.copy()
    for channel in range(3):
        fitted = mesh.colors[:, channel].astype(np.float64)
        wanted = hold * fitted[free] + flow[free][:, ~free] @ fitted[~free]
        settled, _ = cg(system, wanted, x0=fitted[free], rtol=1e-5, maxiter=500, M=preconditioner)
        colors[free, channel] = np.clip(settled, 0.0, 1.0)
    return replace(mesh, colors=colors)


def trust_of_views(
    mesh: ColoredMesh, view: PhotoView, pixel: float, front: Ramp, back: Ramp
) -> Float[np.ndarray, "v"]:
    """Trust in [0, 1] in each vertex's colour, as far as the photo or a picture of the back shows it.

    Args:
        mesh: in the world frame of ``view``'s camera.
        pixel: of the pictures that the colours were fitted to, metres.
        front, back: over the cosine between the normal and either view.
    """
    own = max(pixel, 1.0 / view.camera.pixels_per_metre)
    before = SeenSurface(mesh, view.camera, view.mask, beyond=True)
    seen = before.trust(mesh.vertices, mesh.normals, front, _FRONT_OUTLINE.times(own))
    # Guidance's picture of the back has the mesh's own outline.
    turn = np.array([-1, 1, -1], mesh.vertices.dtype)
    turned = replace(mesh, vertices=mesh.vertices * turn, normals=mesh.normals * turn)
    behind = SeenSurface(turned, PhotoCamera(1.0 / pixel, 0.0, 0.0))
    back_seen = behind.trust(turned.vertices, turned.normals, back, _BACK_OUTLINE.times(pixel))
    return np.maximum(seen, back_seen)


def _flow(mesh: ColoredMesh, trust: Float[np.ndarray, "v"]) -> csr_matrix:
    """Weight of each edge: from front to back, within one cloth, none between trusted vertices."""
    edges = vertex_adjacency(mesh.faces, len(mesh.vertices)).tocoo()
    a, b = edges.row, edges.col
    step = (mesh.vertices[a] - mesh.vertices[b]).astype(np.float64)
    around = step[:, 2] ** 2 / np.maximum((step**2).sum(1), 1e-20)
    contrast = ((mesh.colors[a] - mesh.colors[b]).astype(np.float64) ** 2).sum(1)
    weight = (around + _ALONG) * (np.exp(-contrast / _SEAM**2) + _LEAK)
    weight *= 1.0 - np.minimum(trust[a], trust[b])
    return csr_matrix((weight, (a, b)), edges.shape)

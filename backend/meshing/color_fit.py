"""Vertex colours whose interpolation gives the photo's pixels back.

A colour field sampled at vertices and interpolated linearly over triangles is a blurred photo. The
colours that interpolate best are the solution of a sparse linear least-squares problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import cg

from backend.geometry.mesh import Mesh, vertex_normals
from backend.geometry.rasterizer import rasterize
from backend.meshing.clean import vertex_adjacency


@dataclass(frozen=True)
class FacePicture:
    """A picture on the square that a face of the field's cube covers, row 0 on top."""

    rgb: Float[np.ndarray, "n n 3"]
    """sRGB in [0, 1]."""
    weight: Float[np.ndarray, "n n"]
    """Trust in [0, 1]; 0 on the background and on the silhouette's mixed pixels."""

    share: Float[np.ndarray, "n n"] | None = None
    """How far colours are to be moved to the picture's; None moves them all the way."""

    def turned(self) -> FacePicture:
        """What is seen through the cube from the front, as its back face shows it."""
        share = None if self.share is None else self.share[:, ::-1]
        return FacePicture(self.rgb[:, ::-1], self.weight[:, ::-1], share)


def fit_colors(
    mesh: Mesh,
    colors: Float[np.ndarray, "v 3"],
    picture: FacePicture,
    *,
    supersample: int = 2,
    keep: float = 0.02,
    smooth: float = 0.02,
) -> Float[np.ndarray, "v 3"]:
    """Adjust colours of what a picture shows so that drawing the mesh reproduces the picture.

    Minimises, over the change d of the colours, sum_p w_p |(B d)_p - s_p (picture - B c)_p|^2
    + keep |d|^2 + smooth d' L d with B the drawing as a matrix (a pixel is the mean of supersample^2
    points), s the picture's share and L the mesh graph's Laplacian.

    Args:
        mesh: field frame.
        colors: the field's own colours, sRGB.
        picture: of the cube's front face.
    """
    resolution = picture.rgb.shape[0]
    draw, weight = _drawing_matrix(mesh, picture, resolution, supersample)
    if not weight.any():
        return colors
    adjacency = vertex_adjacency(mesh.faces, len(mesh.vertices))
    degree = np.asarray(adjacency.sum(1)).ravel()
    weighted = draw.T @ diags(weight)
    normal_matrix = (weighted @ draw + diags(keep + smooth * degree) - smooth * adjacency).tocsr()
    preconditioner = diags(1.0 / normal_matrix.diagonal())
    residual = picture.rgb.reshape(-1, 3) - draw @ colors.astype(np.float64)
    if picture.share is not None:
        residual *= picture.share.reshape(-1, 1)
    fitted = colors.astype(np.float64)
    for channel in range(3):
        change, _ = cg(
            normal_matrix,
            weighted @ residual[:, channel],
            rtol=1e-4,
            maxiter=200,
            M=preconditioner,
        )
        fitted[:, channel] += change
    return np.clip(fitted, 0.0, 1.0).astype(colors.dtype)


def fit_back_colors(
    mesh: Mesh, colors: Float[np.ndarray, "v 3"], picture: FacePicture
) -> Float[np.ndarray, "v 3"]:
    """:func:`fit_colors` to a picture of the cube's back face."""
    turn = np.array([-1, 1, -1], mesh.vertices.dtype)
    return fit_colors(Mesh(mesh.vertices * turn, mesh.faces), colors, picture)


def _drawing_matrix(
    mesh: Mesh, picture: FacePicture, resolution: int, supersample: int
) -> tuple[csr_matrix, Float[np.ndarray, "p"]]:
    """(pixels, vertices) matrix that draws vertex colours, and each pixel's weight in the fit."""
    raster = rasterize(mesh.vertices, mesh.faces, resolution * supersample)
    rows, columns = np.nonzero(raster.covered)
    pixel = (rows // supersample) * resolution + columns // supersample
    face = mesh.faces[raster.face_index[rows, columns]]
    n_pixels = resolution * resolution
    part = 1.0 / supersample**2
    draw = csr_matrix(
        (
            part * raster.barycentric[rows, columns].astype(np.float64).ravel(),
            (np.repeat(pixel, 3), face.ravel()),
        ),
        (n_pixels, len(mesh.vertices)),
    )
    # Grazing triangles smear one pixel over many vertices; the picture says little about them.
    facing = vertex_normals(mesh.vertices, mesh.faces)[face, 2].mean(1)
    trust = np.bincount(pixel, part * np.clip(4.0 * facing, 0.0, 1.0), minlength=n_pixels)
    whole = np.bincount(pixel, minlength=n_pixels) == supersample**2
    return draw, picture.weight.ravel() * trust * whole

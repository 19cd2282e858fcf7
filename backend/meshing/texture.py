"""Colours of a mesh baked into a picture: the photo's own pixels where it saw the surface well.

Elsewhere the vertex colours speak (the colour field's finer grain on unseen sides is noise), or pictures
of the flanks; between them trust blends. All of it is one function of the surface's points, so charts
meet without a seam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from backend.geometry.mesh import ColoredMesh, Mesh
from backend.geometry.rasterizer import Raster, rasterize
from backend.guidance.mirror import extend_colors
from backend.meshing.atlas import Atlas, pack
from backend.meshing.charts import Charts, make_charts
from backend.meshing.photo_view import PhotoColors, PhotoView
from backend.meshing.side_picture import SidePicture

# Texel density, in length, of charts that the photo hardly sees: they have less detail than it.
_UNSEEN_DENSITY = 0.75
_SEEN_SHARE = 0.05


@dataclass(frozen=True)
class Texture:
    """A picture and where each corner of each face lies in it."""

    uv: Float32[np.ndarray, "n 2"]
    """(f * 3, 2), a corner each; v up."""
    image: UInt8[np.ndarray, "s s 3"]
    """sRGB, row 0 on top (v = 1). No texel is empty: charts go on beyond their edge."""


def bake_texture(
    mesh: ColoredMesh,
    side: int,
    photo: PhotoView | None = None,
    flanks: Sequence[SidePicture] = (),
) -> Texture:
    """Unfold a mesh and paint its colours.

    Args:
        mesh: manifold, in the world frame (metres) of ``photo``'s camera.
        side: of the square texture, texels.
        photo: what the camera saw; None paints the vertex colours alone.
        flanks: of the same mesh.
    """
    charts = make_charts(Mesh(mesh.vertices, mesh.faces))
    front = None if photo is None else PhotoColors(mesh, photo)
    atlas = pack(charts, _densities(charts, front), side)
    raster = _texels(atlas)
    rows, columns = np.nonzero(raster.covered)
    spots = _Spots(raster.face_index[rows, columns], raster.barycentric[rows, columns])
    painted = _paint(mesh, spots, front, flanks, 1.0 / atlas.density)
    image = np.zeros((side, side, 3), np.uint8)
    image[rows, columns] = np.round(np.clip(painted, 0.0, 1.0) * 255)
    return Texture(atlas.uv, extend_colors(image, raster.covered))


@dataclass(frozen=True)
class _Spots:
    """Points of a mesh's surface."""

    face: Int[np.ndarray, "n"]
    barycentric: Float[np.ndarray, "n 3"]

    def of(
        self, attribute: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
    ) -> Float32[np.ndarray, "n 3"]:
        """A vertex attribute there."""
        corner = faces[self.face]
        value = np.zeros((len(corner), 3), np.float32)
        for k in range(3):
            value += self.barycentric[:, k : k + 1] * attribute[corner[:, k]].astype(np.float32)
        return value


def _densities(charts: Charts, front: PhotoColors | None) -> Float[np.ndarray, "c"]:
    """Each chart's texel density relative to the others."""
    if front is None:
        return np.ones(charts.count)
    total = np.bincount(charts.of_face, minlength=charts.count)
    seen = np.bincount(charts.of_face, front.seen, minlength=charts.count)
    return np.where(seen < _SEEN_SHARE * total, _UNSEEN_DENSITY, 1.0)


def _texels(atlas: Atlas) -> Raster:
    """Which face each texel's centre lies on, and where; a face without any takes a free texel it touches."""
    flat = atlas.texels.reshape(-1, 2) * (2.0 / atlas.side) - 1.0
    xyz = np.stack([flat[:, 0], -flat[:, 1], np.zeros(len(flat))], 1)
    raster = rasterize(xyz, np.arange(len(flat), dtype=np.int32).reshape(-1, 3), atlas.side)
    # A scrap of a chart may hold no texel's centre; it must not show the chart next to it.
    missing = np.ones(len(atlas.texels), bool)
    missing[raster.face_index[raster.covered]] = False
    face = np.flatnonzero(missing)
    column, row = np.clip(np.floor(atlas.texels[face].mean(1)).astype(int), 0, atlas.side - 1).T
    free = ~raster.covered[row, column]
    raster.face_index[row[free], column[free]] = face[free]
    raster.barycentric[row[free], column[free]] = 1.0 / 3.0
    return raster


def _paint(
    mesh: ColoredMesh,
    spots: _Spots,
    front: PhotoColors | None,
    flanks: Sequence[SidePicture],
    spacing: float,
) -> Float32[np.ndarray, "n 3"]:
    """sRGB of each spot; ``spacing`` is the distance between neighbouring spots, metres."""
    own = spots.of(mesh.colors, mesh.faces)
    if front is None and not flanks:
        return own
    points, normals = (spots.of(each, mesh.faces) for each in (mesh.vertices, mesh.normals))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    told = [flank.at(points, normals) for flank in flanks]
    if front is not None:
        told.append(front.at(points, normals, spacing))
    for colors, trust in told:
        own += trust[:, None] * (colors - own)
    return own

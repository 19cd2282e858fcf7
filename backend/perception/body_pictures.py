"""The fitted body as the normal estimator sees it: front and back in the photo's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from backend.geometry.rasterizer import interpolate, rasterize

_MIRRORED_DEPTH = np.array([1.0, 1.0, -1.0])


@dataclass(frozen=True)
class BodyPictures:
    """Body-frame maps on one pixel grid, that of the front camera, row 0 on top; zero off the body."""

    front: Float[np.ndarray, "n n 3"]
    """Unit normals of the nearest surface."""
    back: Float[np.ndarray, "n n 3"]
    """Unit normals of the farthest surface: the view from behind, mirrored into the photo (ECON)."""
    region: UInt8[np.ndarray, "n n"]
    """:class:`backend.body.model.Region` of the nearest surface."""


def draw_body(
    xyz: Float[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    regions: UInt8[np.ndarray, "v"],
    resolution: int,
) -> BodyPictures:
    """Draw a body's outer surface from both sides.

    Args:
        xyz: vertices in picture coordinates (x right, y up, in [-1, 1], z towards the camera).
        normals: unit normals in the same axes.
        faces: of the outer surface.
        regions: region of each vertex.
        resolution: pixels along an edge.
    """
    near = rasterize(xyz, faces, resolution)
    far = rasterize(xyz * _MIRRORED_DEPTH, faces, resolution)
    seen = near.covered
    region = np.zeros((resolution, resolution), np.uint8)
    strongest = near.barycentric[seen].argmax(1)
    region[seen] = regions[faces[near.face_index[seen], strongest]]
    return BodyPictures(
        front=_unit(interpolate(near, normals, faces)),
        back=_unit(interpolate(far, normals, faces)),
        region=region,
    )


def network_conditions(
    rgb: Float[np.ndarray, "n n 3"], mask: Float[np.ndarray, "n n"], body: BodyPictures
) -> Float32[np.ndarray, "c n n"]:
    """Input of :class:`NormalNetwork`: photo over grey in [-1, 1], silhouette, body, its regions.

    Args:
        rgb: sRGB in [0, 1]; only what the silhouette shows is used.
        mask: silhouette in [0, 1].
        body: on the same pixels.
    """
    over_grey = (2.0 * rgb - 1.0) * mask[..., None]
    one_hot = body.region[..., None] == np.arange(1, 5)
    layers = [over_grey, mask[..., None], body.front, body.back, one_hot]
    stacked = np.concatenate([np.asarray(layer, np.float32) for layer in layers], -1)
    return np.ascontiguousarray(stacked.transpose(2, 0, 1))


def _unit(vectors: Float[np.ndarray, "n n 3"]) -> Float[np.ndarray, "n n 3"]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-9, vectors / np.maximum(length, 1e-9), 0.0)

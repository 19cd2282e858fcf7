"""Meshes that travel between stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh, counter-clockwise seen from outside, in the frame its maker documents."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


@dataclass(frozen=True)
class ColoredMesh:
    """A mesh with one sRGB colour in [0, 1] and one unit normal a vertex."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    colors: Float[np.ndarray, "v 3"]
    normals: Float[np.ndarray, "v 3"]


def vertex_normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v 3"]:
    """Area-weighted unit vertex normals (zero-area fans get +z)."""
    corner = vertices[faces]
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal = np.zeros_like(vertices)
    for axis in range(3):
        for k in range(3):
            normal[:, axis] += np.bincount(
                faces[:, k], face_normal[:, axis], minlength=len(vertices)
            )
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    up = np.zeros_like(normal)
    up[:, 2] = 1.0
    return np.where(length > 1e-20, normal / np.maximum(length, 1e-20), up)

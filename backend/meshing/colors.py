"""The colour field on the surface."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backend.geometry.mesh import Mesh, vertex_normals
from backend.geometry.rasterizer import rasterize


@runtime_checkable
class ColoredField(Protocol):
    """What meshing asks of a field; points in the field frame."""

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Signed distance, negative inside."""

    def color(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """sRGB in [0, 1]."""


def query_colors(
    field: ColoredField, points: Float[np.ndarray, "n 3"], device: torch.device | str = "cpu"
) -> Float[np.ndarray, "n 3"]:
    """sRGB at points of the field frame, clipped to [0, 1]."""
    with torch.no_grad():
        found = field.color(torch.as_tensor(points, dtype=torch.float32).to(device))
    colors: np.ndarray = np.clip(found.cpu().numpy(), 0.0, 1.0)
    return colors


def project_to_surface(
    field: ColoredField,
    mesh: Mesh,
    most: float,
    device: torch.device | str = "cpu",
    steps: int = 2,
) -> Mesh:
    """Move vertices along their normals onto the zero level, at most ``most`` field units each.

    Newton steps with a measured slope: a fitted field is not a true distance. A vertex that would come
    no nearer to the level stays where it is.
    """
    start = torch.as_tensor(mesh.vertices, dtype=torch.float32).to(device)
    normal = torch.as_tensor(vertex_normals(mesh.vertices, mesh.faces)).to(start)
    reach = 0.25 * most
    with torch.no_grad():
        value = field.sdf(start)
        first = value.abs()
        offset = torch.zeros_like(value)
        for _ in range(steps):
            here = start + offset[:, None] * normal
            slope = field.sdf(here + reach * normal) - field.sdf(here - reach * normal)
            slope = (slope / (2.0 * reach)).clamp(0.3, 3.0)
            offset = (offset - value / slope).clamp(-most, most)
            value = field.sdf(start + offset[:, None] * normal)
        offset = torch.where(value.abs() < first, offset, torch.zeros_like(offset))
        moved = start + offset[:, None] * normal
    return Mesh(moved.cpu().numpy().astype(mesh.vertices.dtype), mesh.faces)


def seen_from_front(mesh: Mesh, resolution: int = 512) -> Bool[np.ndarray, "v"]:
    """Vertices of the triangles that the photo's camera sees (field frame, azimuth 0)."""
    raster = rasterize(mesh.vertices, mesh.faces, resolution)
    seen = np.zeros(len(mesh.vertices), bool)
    seen[mesh.faces[raster.face_index[raster.covered]]] = True
    return seen

"""A fitted field becomes a coloured mesh in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backend.body.model import PosedBody
from backend.geometry.frames import FieldToWorld
from backend.geometry.mesh import ColoredMesh, Mesh, vertex_normals
from backend.meshing.clean import clean, largest_component
from backend.meshing.color_fit import FacePicture, fit_back_colors, fit_colors
from backend.meshing.colors import (
    ColoredField,
    project_to_surface,
    query_colors,
    seen_from_front,
)
from backend.meshing.decimate import decimate
from backend.meshing.extract import evaluate_sparse, marching_cubes
from backend.meshing.refine import split_edges, unique_edges
from backend.meshing.separation import LimbSeparator, fill_colors
from backend.settings import MeshingSettings

# Field units of misplaced surface that weigh as much as a colour off by full contrast: where the photo
# can be compared, and elsewhere. Measured on photos of people: 0.01 to 0.1 differ by less than 1 dB.
_COLOR_LENGTH_FRONT = 0.03
_COLOR_LENGTH_ELSEWHERE = 0.01
# An edge is split when the colour in its middle differs by more than this from the mean of its ends.
_SPLIT_FRONT = 0.012
_SPLIT_ELSEWHERE = 0.04


def extract_mesh(
    field: ColoredField,
    settings: MeshingSettings,
    field_to_world: FieldToWorld,
    *,
    body: PosedBody | None = None,
    front: FacePicture | None = None,
    back: FacePicture | None = None,
    device: torch.device | str = "cpu",
) -> ColoredMesh:
    """The zero level of a field as one watertight, coloured mesh (world frame, metres).

    Args:
        field: SDF and colour over the cube [-1, 1]^3.
        settings: grid resolution and triangle budget.
        field_to_world: where the cube lies in the world.
        body: the person's body in the world; when given, limbs that loose cloth joins are cut apart
            where the T-pose would tear at them.
        front: the photo on the cube's front face; when given, colours of what it sees are refined
            so that the mesh, drawn from the front, gives its pixels back.
        back: the same of the cube's back face, where a picture of it is known.
        device: where the field's parameters are.

    Raises:
        HumanRefError: ``empty_field``, ``field_not_finite``, ``mesh_not_closed``.
    """
    step = 2.0 / (settings.resolution - 1)
    surface = field
    gaps: _Gaps | None = None
    if body is not None:
        gaps = _Gaps(
            field, LimbSeparator.from_body(body, field_to_world, device=device), 1.2 * step
        )
        surface = gaps
    mesh = clean(marching_cubes(evaluate_sparse(surface.sdf, settings.resolution, device)))
    mesh = _split_where_colour_bends(field, mesh, device)
    mesh = project_to_surface(surface, mesh, 0.5 * step, device)
    colors = query_colors(field, mesh.vertices, device)
    if gaps is not None:
        colors = fill_colors(mesh, colors, gaps.walls(mesh, device))
    length = np.where(seen_from_front(mesh), _COLOR_LENGTH_FRONT, _COLOR_LENGTH_ELSEWHERE)
    mesh, _ = decimate(mesh, settings.faces, colors * length[:, None].astype(colors.dtype))
    mesh = project_to_surface(surface, mesh, 0.5 * step, device)
    if gaps is None:
        colors = query_colors(field, mesh.vertices, device)
    else:
        walls = gaps.walls(mesh, device)
        mesh = gaps.separator.close(mesh, gaps.half_width)
        colors = fill_colors(mesh, query_colors(field, mesh.vertices, device), walls)
    if front is not None:
        colors = fit_colors(mesh, colors, front)
    if back is not None:
        colors = fit_back_colors(mesh, colors, back)
    return _in_world(mesh, colors, field_to_world)


@dataclass(frozen=True)
class _Gaps:
    """A field with gaps between limbs that cloth joins."""

    field: ColoredField
    separator: LimbSeparator
    half_width: float

    def sdf(self, points: Tensor) -> Tensor:
        return self.separator.carve(self.field.sdf, self.half_width)(points)

    def color(self, points: Tensor) -> Tensor:
        return self.field.color(points)

    def walls(self, mesh: Mesh, device: torch.device | str) -> Bool[np.ndarray, "v"]:
        points = torch.as_tensor(mesh.vertices, dtype=torch.float32).to(device)
        return self.separator.walls(self.field.sdf, points, self.half_width)


def preview_mesh(
    field: ColoredField,
    field_to_world: FieldToWorld,
    resolution: int = 96,
    device: torch.device | str = "cpu",
) -> ColoredMesh:
    """A coarse mesh for showing progress (world frame, metres); may have several pieces.

    Raises:
        HumanRefError: ``empty_field``, ``field_not_finite``.
    """
    mesh = marching_cubes(evaluate_sparse(field.sdf, resolution, device))
    mesh = largest_component(mesh)
    return _in_world(mesh, query_colors(field, mesh.vertices, device), field_to_world)


def _split_where_colour_bends(field: ColoredField, mesh: Mesh, device: torch.device | str) -> Mesh:
    edges, of_face = unique_edges(mesh.faces)
    ends = query_colors(field, mesh.vertices, device)[edges].mean(1)
    middle = query_colors(field, mesh.vertices[edges].mean(1), device)
    allowed = np.where(seen_from_front(mesh)[edges].any(1), _SPLIT_FRONT, _SPLIT_ELSEWHERE)
    return split_edges(mesh, edges, of_face, np.abs(middle - ends).max(1) > allowed)


def _in_world(
    mesh: Mesh, colors: Float[np.ndarray, "v 3"], field_to_world: FieldToWorld
) -> ColoredMesh:
    vertices = field_to_world.to_world(mesh.vertices).astype(np.float32)
    normals = vertex_normals(vertices, mesh.faces)
    return ColoredMesh(vertices, mesh.faces, colors.astype(np.float32), normals)

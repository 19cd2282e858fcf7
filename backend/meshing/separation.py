"""Limbs that cloth glues together in a photo are cut apart before they become a mesh.

A sleeve that touches the trunk is one solid with it in the fitted field; raised to the T-pose, such an
arm would drag a web along. Where the nearest places of two limbs move far apart in the T-pose, a
narrow gap is carved into the field midway between them; once the mesh is extracted its walls
are moved back together, so that the photo's view keeps its outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree
from torch import Tensor

from backend.body.model import PosedBody
from backend.geometry.frames import FieldToWorld
from backend.geometry.mesh import Mesh
from backend.meshing.clean import vertex_adjacency
from backend.meshing.extract import Sdf
from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS, PARENTS

_LIMB_ROOTS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
N_PARTS = 1 + len(_LIMB_ROOTS)
# Two places whose distance grows by less than the first factor in the T-pose stay joined (the shoulder,
# the groin); beyond the second they are cut fully.
_STRETCH_FROM, _STRETCH_TO = 1.35, 1.9
# Metres added to the distance before the ratio is taken: places that all but touch are no evidence.
_STRETCH_SLACK = 0.03
# Metres beyond which a part of the body says nothing about a point.
_REACH = 0.2
# What is left of the gap when its walls are moved back, as a part of its half width.
_REMAINING = 0.05


@dataclass(frozen=True)
class LimbSeparator:
    """How far each of the body's five parts is, and where its nearest place goes in the T-pose.

    Both on a lattice over the field cube, axes (z, y, x) as torch's ``grid_sample`` reads them: trunk
    with head, left arm, right arm, left leg, right leg. Metres.
    """

    distance: Float[Tensor, "5 n n n"]
    rest_place: Float[Tensor, "15 n n n"]
    field_to_world: FieldToWorld

    @staticmethod
    def from_body(
        body: PosedBody,
        field_to_world: FieldToWorld,
        resolution: int = 80,
        device: torch.device | str = "cpu",
    ) -> LimbSeparator:
        """Measure a body; ``resolution`` lattice nodes along the cube's edge."""
        part = body_parts(body.skin_weights)
        faces = body.faces[body.outer_faces]
        rest = body.rest_vertices * np.float32(body.pose.scale)
        # Vertices and face centres: about one place a centimetre.
        posed = np.concatenate([body.vertices[faces[:, 0]], body.vertices[faces].mean(1)])
        rest = np.concatenate([rest[faces[:, 0]], rest[faces].mean(1)])
        label = np.concatenate([part[faces[:, 0]], part[faces[:, 0]]])
        t = np.linspace(-1.0, 1.0, resolution)
        z, y, x = np.meshgrid(t, t, t, indexing="ij")
        points = field_to_world.to_world(np.stack([x, y, z], -1).reshape(-1, 3))
        near, _ = cKDTree(posed).query(points, distance_upper_bound=_REACH)
        asked = np.flatnonzero(np.isfinite(near))
        distance = np.full((N_PARTS, len(points)), 2.0 * _REACH, np.float32)
        place = np.zeros((N_PARTS, 3, len(points)), np.float32)
        for number in range(N_PARTS):
            of_part = label == number
            tree = cKDTree(posed[of_part])
            found, index = tree.query(points[asked], distance_upper_bound=_REACH)
            reached = np.isfinite(found)
            distance[number, asked[reached]] = found[reached]
            place[number][:, asked[reached]] = rest[of_part][index[reached]].T
        shape = (resolution, resolution, resolution)
        return LimbSeparator(
            torch.from_numpy(distance.reshape(N_PARTS, *shape)).to(device),
            torch.from_numpy(place.reshape(3 * N_PARTS, *shape)).to(device),
            field_to_world,
        )

    def carve(self, sdf: Sdf, half_width: float) -> Sdf:
        """The same field with a gap of ``half_width`` (field units) to each side of the midway surface."""

        def carved(points: Tensor) -> Tensor:
            value = sdf(points)
            # Nowhere is the gap above its half width: elsewhere it cannot win.
            open_to_it = (value < half_width).nonzero()[:, 0]
            inner = points[open_to_it]
            distance, nearest = self._two_nearest(inner)
            ceiling = half_width - self._half_difference(distance)
            hit = ceiling > value[open_to_it]
            gap = self._gap(inner[hit], distance[hit], nearest[hit], half_width)
            chosen = open_to_it[hit]
            value = value.clone()
            value[chosen] = torch.maximum(value[chosen], gap)
            return value

        return carved

    def gap(self, points: Float[Tensor, "n 3"], half_width: float) -> Float[Tensor, "n"]:
        """Positive inside the gap, about the negative distance to it elsewhere; field units."""
        return self._gap(points, *self._two_nearest(points), half_width)

    def _gap(
        self, points: Tensor, distance: Tensor, nearest: Tensor, half_width: float
    ) -> Float[Tensor, "n"]:
        # Without strength the gap must be out of reach, not just of no width.
        width = (2.0 * self._strength(points, distance, nearest) - 1.0) * half_width
        return width - self._half_difference(distance)

    def _strength(self, points: Tensor, distance: Tensor, nearest: Tensor) -> Float[Tensor, "n"]:
        """0 where the two nearest parts belong together, 1 where the T-pose pulls them apart."""
        place = _sample(self.rest_place, points).reshape(-1, N_PARTS, 3)
        rows = torch.arange(len(points), device=points.device)
        apart = (place[rows, nearest[:, 0]] - place[rows, nearest[:, 1]]).norm(dim=1)
        stretch = apart / (distance.sum(1) + _STRETCH_SLACK)
        strength = ((stretch - _STRETCH_FROM) / (_STRETCH_TO - _STRETCH_FROM)).clamp(0.0, 1.0)
        return torch.where(distance[:, 1] < _REACH, strength, torch.zeros_like(strength))

    def _half_difference(self, distance: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
        """About how far the midway surface between the two nearest parts is; field units."""
        return 0.5 * (distance[:, 1] - distance[:, 0]) / self.field_to_world.scale

    def walls(
        self, sdf: Sdf, points: Float[Tensor, "n 3"], half_width: float
    ) -> Bool[np.ndarray, "n"]:
        """Which points of the carved field's surface lie on the walls of a gap."""
        with torch.no_grad():
            inner = self.gap(points, half_width) > sdf(points) + 0.1 * half_width
        found: np.ndarray = inner.cpu().numpy()
        return found

    def close(self, mesh: Mesh, half_width: float) -> Mesh:
        """Move the walls of the gaps back until they almost touch (field frame).

        Everything within three half widths of the midway surface is stretched towards it, so that
        the rims stay smooth.
        """
        start = torch.as_tensor(mesh.vertices).to(self.distance).clone()
        distance, nearest = self._two_nearest(start)
        width = (2.0 * self._strength(start, distance, nearest) - 1.0) * half_width
        clearance = self._half_difference(distance)
        near = ((width > 0.0) & (clearance < 3.0 * width)).nonzero()[:, 0]
        if len(near) == 0:
            return mesh
        width, nearest = width[near], nearest[near]
        from_wall = (clearance[near] - width).clamp(min=0.0)
        target = _REMAINING * width + from_wall * (3.0 - _REMAINING) / 2.0
        moved = start[near]
        for _ in range(3):
            clearance, slope = self._clearance(moved, nearest)
            squared = (slope * slope).sum(1).clamp(min=0.1)
            moved = moved - ((clearance - target) / squared)[:, None] * slope
        offset = moved - start[near]
        length = offset.norm(dim=1, keepdim=True).clamp(min=1e-12)
        start[near] += offset * (length.clamp(max=1.5 * half_width) / length)
        return Mesh(start.cpu().numpy().astype(mesh.vertices.dtype), mesh.faces)

    def _clearance(
        self, points: Tensor, nearest: Int[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        """Half the difference of the distances to two fixed parts, and its gradient; field units."""
        step = 1.0 / self.distance.shape[1]
        offsets = torch.cat([torch.zeros(1, 3), step * torch.eye(3), -step * torch.eye(3)])
        around = points[None] + offsets.to(points)[:, None]
        distance = _sample(self.distance, around.reshape(-1, 3)).reshape(7, -1, N_PARTS)
        chosen = distance.gather(2, nearest.expand(7, -1, -1))
        value = 0.5 * (chosen[..., 1] - chosen[..., 0]) / self.field_to_world.scale
        return value[0], ((value[1:4] - value[4:7]) / (2.0 * step)).T

    def _two_nearest(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (n, 2) to the nearest two parts and which they are."""
        found = torch.topk(_sample(self.distance, points), 2, dim=1, largest=False)
        return found.values, found.indices


def body_parts(skin_weights: Float[np.ndarray, "v 55"]) -> Int[np.ndarray, "v"]:
    """The part (0 trunk and head, then the limbs) that holds most of each vertex's weight."""
    limb = np.zeros(N_JOINTS, np.int64)
    for joint in range(N_JOINTS):
        limb[joint] = 0 if PARENTS[joint] < 0 else limb[PARENTS[joint]]
        for number, root in enumerate(_LIMB_ROOTS, 1):
            if joint == JOINT_INDEX[root]:
                limb[joint] = number
    share = np.stack([skin_weights[:, limb == n].sum(1) for n in range(N_PARTS)], 1)
    part: np.ndarray = share.argmax(1)
    return part


def fill_colors(
    mesh: Mesh, colors: Float[np.ndarray, "v 3"], unknown: Bool[np.ndarray, "v"]
) -> Float[np.ndarray, "v 3"]:
    """Colours of ``unknown`` vertices spread smoothly from their surroundings (harmonic)."""
    if not unknown.any() or unknown.all():
        return colors
    adjacency = csr_matrix(vertex_adjacency(mesh.faces, len(mesh.vertices)))
    degree = np.asarray(adjacency.sum(1)).ravel()
    inner = adjacency[unknown]
    system = diags(degree[unknown]) - inner[:, unknown] + 1e-6 * diags(degree[unknown])
    right = inner[:, ~unknown] @ colors[~unknown].astype(np.float64)
    right += 1e-6 * degree[unknown, None] * colors[~unknown].mean(0)
    filled = colors.copy()
    for channel in range(3):
        filled[unknown, channel] = cg(
            system, right[:, channel], rtol=1e-3, maxiter=500, M=diags(1.0 / system.diagonal())
        )[0]
    clipped: np.ndarray = np.clip(filled, 0.0, 1.0)
    return clipped


def _sample(grid: Float[Tensor, "c n n n"], points: Float[Tensor, "m 3"]) -> Float[Tensor, "m c"]:
    at = points.view(1, -1, 1, 1, 3)
    found = torch.nn.functional.grid_sample(
        grid[None], at, align_corners=True, padding_mode="border"
    )
    return found.view(grid.shape[0], -1).T

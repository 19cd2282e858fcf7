"""What guidance is asked about: single rays of an unseen view, and points under the surface."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional

from backend.field.networks import HumanField
from backend.field.volume import sample_grid_with_gradient
from backend.guidance import GuidedRays
from backend.optimization.rays import RenderedRays, points_below_surface

# Points a step that learn a colour under the surface, and how deep (field units).
_WITHIN = 1024
_SKIN_DEPTH = 0.1


def guided_rays(azimuth: float, view: RenderedRays, rows: slice) -> GuidedRays:
    """Some rays of a batch, all of one view, as guidance sees them."""
    opacity = view.opacity[rows].detach()
    points = view.origins[rows] + view.depth[rows, None].detach() * view.directions[rows]
    normal = functional.normalize(view.normal[rows].detach(), dim=-1)
    # The pure surface colour, so that silhouette rays do not ask the background for the photo.
    share = opacity.clamp_min(1e-3)[:, None]
    color = (view.color[rows] - (1 - opacity[:, None]) * view.background) / share
    return GuidedRays(azimuth, color, opacity, points, normal)


@dataclass(frozen=True)
class SkinPoints:
    """Random points under the surface, seen or not.

    Where a sleeve touches the trunk no ray ever looks, but the mesh is cut apart there: without a
    colour of its own the cut would show the network's random start.
    """

    points: Float[Tensor, "r 3"]
    depth: Float[Tensor, "r"]
    """Of the start shape's SDF there, negative inside."""
    normal: Float[Tensor, "r 3"]
    exist: Bool[Tensor, ""]
    """False where nothing lies under the surface: the points then mean nothing."""

    @staticmethod
    def draw(field: HumanField, grid: Float[Tensor, "n n n"], generator: Generator) -> SkinPoints:
        """Points near the surface of the cached SDF ``grid``."""
        points, exist = points_below_surface(grid, _SKIN_DEPTH, _WITHIN, generator)
        depth, gradient = sample_grid_with_gradient(field.base_sdf, points)
        return SkinPoints(points, depth, functional.normalize(gradient, dim=-1), exist)

    def as_rays(self, azimuth: float, field: HumanField) -> GuidedRays:
        """The same as rays that end there."""
        solid = torch.ones_like(self.points[:, 0])
        return GuidedRays(azimuth, field.color(self.points), solid, self.points, self.normal)

    def follow_surface(self, field: HumanField) -> Float[Tensor, ""]:
        """Squared distance of their colours to those of the surface above, which stay as they are.

        For guidance that sees pictures only.
        """
        surface = (self.points - self.depth[:, None] * self.normal).clamp(-1.0, 1.0)
        with torch.no_grad():
            wanted = field.color(surface)
        return (field.color(self.points) - wanted).square().mean() * self.exist

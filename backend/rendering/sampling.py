"""Where to sample a ray: a narrow band around the first surface, found in a cached coarse SDF grid."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.field.density import segment_optical_depth, segment_weights
from backend.field.volume import sample_grid
from backend.rendering import kernels
from backend.settings import RenderingSettings

# The march's steps across the cube; a step is then shorter than a cell of the cached grid.
_STEPS = 96
# Sharpest density, in 1 / cells of the cached grid, that the grid's own error still lets one aim with.
_SHARPEST = 1.3


class SignedDistance(Protocol):
    """What a sampler asks of a field."""

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Signed distance in the field frame."""


class NarrowBandSampler:
    """Samples around the first surface that a ray meets; rays that pass far from it are background.

    The field's SDF is cached on a coarse grid (:meth:`refresh`); a ray counts as a hit where that grid
    comes nearer than ``band / alpha`` plus half a cell's diagonal, so that silhouettes can grow.
    """

    def __init__(self, settings: RenderingSettings) -> None:
        self.settings = settings
        self._grid: Tensor | None = None

    @torch.no_grad()
    def refresh(self, field: SignedDistance, device: str | torch.device = "cpu") -> None:
        """Evaluates the field's SDF on the coarse grid (``grid_resolution``^3 points)."""
        n = self.settings.grid_resolution
        axis = torch.linspace(-1.0, 1.0, n, device=device)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        values = field.sdf(torch.stack([x, y, z], -1).view(-1, 3))
        self._grid = values.view(n, n, n).contiguous()

    @property
    def grid(self) -> Float[Tensor, "n n n"]:
        """The cached SDF over (z, y, x).

        Raises:
            HumanRefError: ``sampler_not_refreshed`` before the first :meth:`refresh`.
        """
        if self._grid is None:
            raise HumanRefError(
                "sampler_not_refreshed",
                "The narrow-band sampler has no distance grid yet.",
                "Call refresh(field) before the first sample().",
            )
        return self._grid

    def reach(self, alpha: float) -> float:
        """Distance to the surface, in field units, within which a ray is not background."""
        cell = 2.0 / (self.settings.grid_resolution - 1)
        return self.settings.band / alpha + 0.5 * math.sqrt(3.0) * cell

    @torch.no_grad()
    def sample(
        self,
        origins: Float[Tensor, "r 3"],
        direction: Float[Tensor, "3"] | Float[Tensor, "r 3"],
        alpha: float | Float[Tensor, ""],
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "r k"], Bool[Tensor, "r"]]:
        """Sorted depths along each ray (units of ``direction``) and which rays come near the surface.

        Without a ``generator`` the samples lie in the middle of their strata; with one they are jittered.
        Depths of rays that miss are not meant to be rendered.
        """
        grid = self.grid
        sharpness = float(alpha)
        directions = direction.view(-1, 3)
        jitter = _jitter(len(origins), self.settings.samples, generator, origins.device)
        cell = 2.0 / (len(grid) - 1)
        aim = min(sharpness, _SHARPEST / cell)
        reach = self.reach(sharpness)
        if not (origins.device.type == "cpu" and origins.dtype == torch.float32):
            return narrow_band_reference(grid, origins, directions, _STEPS, aim, reach, jitter)
        depths = torch.empty(len(origins), self.settings.samples)
        hit = torch.empty(len(origins), dtype=torch.bool)
        kernels.narrow_band(
            grid.numpy(),
            origins.contiguous().numpy(),
            directions.contiguous().numpy(),
            _STEPS,
            aim,
            reach,
            jitter.numpy(),
            depths.numpy(),
            hit.numpy(),
        )
        return depths, hit


class UniformSampler:
    """The baseline: ``samples`` equal strata of the ray's way through the cube; every such ray is a hit."""

    def __init__(self, settings: RenderingSettings) -> None:
        self.settings = settings

    def refresh(self, field: SignedDistance, device: str | torch.device = "cpu") -> None:
        """Nothing to cache."""

    @torch.no_grad()
    def sample(
        self,
        origins: Float[Tensor, "r 3"],
        direction: Float[Tensor, "3"] | Float[Tensor, "r 3"],
        alpha: float | Float[Tensor, ""],
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "r k"], Bool[Tensor, "r"]]:
        """As :meth:`NarrowBandSampler.sample`, without looking at the field."""
        near, far = cube_interval(origins, direction.view(-1, 3))
        count = self.settings.samples
        jitter = _jitter(len(origins), count, generator, origins.device)
        steps = torch.arange(count, device=origins.device)
        return near[:, None] + (far - near)[:, None] * (steps + jitter) / count, far > near


def cube_interval(
    origins: Float[Tensor, "r 3"], directions: Float[Tensor, "d 3"]
) -> tuple[Float[Tensor, "r"], Float[Tensor, "r"]]:
    """Depths (not behind the origin) where rays enter and leave the cube; far <= near if they miss it.

    ``directions`` has one row a ray, or one for all.
    """
    parallel = directions.abs() < 1e-9
    safe = torch.where(parallel, torch.ones_like(directions), directions)
    t0, t1 = (-1.0 - origins) / safe, (1.0 - origins) / safe
    inside = origins.abs() <= 1.0
    infinity = torch.full_like(origins, torch.inf)
    low = torch.where(parallel, -infinity, torch.minimum(t0, t1))
    high = torch.where(parallel, torch.where(inside, infinity, -infinity), torch.maximum(t0, t1))
    return low.amax(1).clamp(min=0.0), high.amin(1)


def narrow_band_reference(
    grid: Float[Tensor, "n n n"],
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "d 3"],
    steps: int,
    alpha: float,
    reach: float,
    jitter: Float[Tensor, "r k"],
) -> tuple[Float[Tensor, "r k"], Bool[Tensor, "r"]]:
    """The readable twin of the narrow-band kernel, in torch on any device.

    Marches each ray's way through the cube in ``steps``, takes VolSDF weights of the cached SDF at
    sharpness ``alpha``, lets each step also have its neighbours' weight (the grid is a little off), and
    inverts the cumulative weight at (j + jitter) / k.
    """
    near, far = cube_interval(origins, directions)
    crosses = far > near
    near, far = torch.where(crosses, near, 0.0), torch.where(crosses, far, 1.0)
    step = (far - near) / steps
    t = near[:, None] + step[:, None] * torch.arange(steps + 1, device=origins.device)
    points = origins[:, None] + t[..., None] * directions[:, None]
    s = sample_grid(grid, points.view(-1, 3)).view(t.shape)
    hit = crosses & (s.amin(1) <= reach)
    sharpness = torch.tensor(alpha, dtype=s.dtype, device=s.device)
    length = step[:, None].expand(-1, steps)
    weight, _ = segment_weights(segment_optical_depth(s[:, :-1], s[:, 1:], length, sharpness))
    padded = torch.nn.functional.pad(weight, (1, 1))
    weight = torch.maximum(torch.maximum(padded[:, :-2], padded[:, 2:]), weight) + 1e-9
    upto = torch.cumsum(weight, 1)
    k = jitter.shape[1]
    u = upto[:, -1:] * (torch.arange(k, device=s.device) + jitter) / k
    cell = torch.searchsorted(upto, u).clamp(max=steps - 1)
    own = weight.gather(1, cell)
    inside = ((u - (upto.gather(1, cell) - own)) / own).clamp(0.0, 1.0)
    return near[:, None] + step[:, None] * (cell + inside), hit


def _jitter(
    rays: int, samples: int, generator: torch.Generator | None, device: torch.device
) -> Float[Tensor, "r k"]:
    if generator is None:
        return torch.full((rays, samples), 0.5, device=device)
    return torch.rand(rays, samples, generator=generator, device=device)

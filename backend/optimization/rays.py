"""Rays of a step: from views to rendered rays, without a word from the device to the host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from backend.field.networks import HumanField
from backend.geometry.cameras import RAY_START_DISTANCE, OrthographicCamera
from backend.rendering.renderer import RayBundle, render_rays_in_chunks
from backend.rendering.sampling import NarrowBandSampler
from backend.rendering.slots import RaySlots, SlotBudget, choose_slots


@dataclass(frozen=True)
class Rays:
    """A batch of rays of one view."""

    origins: Float[Tensor, "r 3"]
    directions: Float[Tensor, "r 3"]
    xy: Float[Tensor, "r 2"]


@dataclass(frozen=True)
class RenderedRays:
    """All rays of a batch; those that miss the person show the plain background, opacity 0."""

    origins: Float[Tensor, "r 3"]
    directions: Float[Tensor, "r 3"]
    color: Float[Tensor, "r 3"]
    opacity: Float[Tensor, "r"]
    normal: Float[Tensor, "r 3"]
    depth: Float[Tensor, "r"]
    slots: RaySlots
    bundle: RayBundle
    """The rays that were rendered, slot by slot."""
    background: Float[Tensor, "3"]

    @property
    def solid(self) -> Float[Tensor, "r"]:
        """1 where a ray meets the person and was rendered."""
        return self.slots.rendered.to(self.opacity.dtype)

    @property
    def counted(self) -> Float[Tensor, "r"]:
        """0 for rays that found no slot: nothing is known of them."""
        return 1.0 - self.slots.left_out.to(self.opacity.dtype)

    @property
    def sample_weight(self) -> Float[Tensor, "n"]:
        """1 for samples of rays, 0 for those of empty slots."""
        k = self.bundle.depths.shape[1]
        return self.slots.valid.to(self.opacity.dtype).repeat_interleave(k)


def view_rays(azimuth: float, xy: Float[Tensor, "r 2"], elevation: float = 0.0) -> Rays:
    """Rays of an orthographic view of the cube through picture points, on their device."""
    right, up, backward = OrthographicCamera(azimuth, elevation).axes().tolist()
    x, y = xy[:, 0], xy[:, 1]
    # Numbers go to the device as arguments of kernels: a tensor made here would have to be copied.
    origins = [
        x * a + y * b + RAY_START_DISTANCE * c for a, b, c in zip(right, up, backward, strict=True)
    ]
    directions = [torch.full_like(x, -c) for c in backward]
    return Rays(torch.stack(origins, 1), torch.stack(directions, 1), xy)


def random_numbers(
    *shape: int, generator: Generator, device: torch.device
) -> Float[Tensor, "*shape"]:
    """Uniform numbers of [0, 1) on ``device``; the generator must be that device's own."""
    return torch.rand(*shape, generator=generator, device=device)


def render_batch(
    field: HumanField,
    sampler: NarrowBandSampler,
    budget: SlotBudget,
    views: tuple[Rays, ...],
    background: Float[Tensor, "3"],
    generator: Generator,
    chunk: int | None = None,
) -> RenderedRays:
    """Render the rays of several views together, ``chunk`` rays at a time (None: all at once)."""
    origins = torch.cat([view.origins for view in views])
    directions = torch.cat([view.directions for view in views])
    depths, hit = sampler.sample(origins, directions, field.alpha, generator)
    kind = tuple(len(view.xy) for view in views)
    slots = choose_slots(hit, budget.slots(kind, len(hit)))
    budget.saw(kind, hit)
    index = slots.index
    bundle = render_rays_in_chunks(
        field, origins[index], directions[index], depths[index], background, chunk
    )
    empty = (~slots.rendered).to(background.dtype)[:, None]
    return RenderedRays(
        origins=origins,
        directions=directions,
        color=slots.spread(bundle.color) + empty * background,
        opacity=slots.spread(bundle.opacity),
        normal=slots.spread(bundle.normal),
        depth=slots.spread(bundle.depth),
        slots=slots,
        bundle=bundle,
        background=background,
    )


def points_below_surface(
    grid: Float[Tensor, "n n n"], depth: float, count: int, generator: Generator
) -> tuple[Float[Tensor, "count 3"], Bool[Tensor, ""]]:
    """Random points (field frame) up to ``depth`` under the surface of an SDF grid over (z, y, x).

    The second result is False where no node lies there; the points then mean nothing.
    """
    upto = torch.cumsum(((grid > -depth) & (grid < 0.0)).view(-1), 0)
    total = upto[-1]
    drawn = random_numbers(count, generator=generator, device=grid.device).double()
    # The wanted node is the first whose running count exceeds the drawn number.
    flat = torch.searchsorted(upto, (drawn * total).long(), right=True).clamp(max=len(upto) - 1)
    n = len(grid)
    node = torch.stack([flat % n, flat // n % n, flat // (n * n)], -1).float()
    jitter = random_numbers(count, 3, generator=generator, device=grid.device) - 0.5
    return ((node + jitter) * (2.0 / (n - 1)) - 1.0).clamp(-1.0, 1.0), total > 0

"""Volume rendering of a field along sampled rays (3.2), and whole pictures of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from backend.field.density import segment_optical_depth, segment_weights
from backend.field.networks import FieldSample
from backend.geometry.cameras import OrthographicCamera, pixel_centers


@runtime_checkable
class RenderedField(Protocol):
    """What a renderer asks of a field: :class:`backend.field.networks.HumanField`, or an exact shape."""

    @property
    def device(self) -> torch.device:
        """Where the field lives."""

    @property
    def alpha(self) -> Float[Tensor, ""]:
        """Sharpness of the density, in 1 / field unit."""

    def __call__(self, points: Float[Tensor, "n 3"]) -> FieldSample:
        """SDF, gradient and colour in the field frame."""


@runtime_checkable
class RaySampler(Protocol):
    """A choice of depths along rays: :class:`backend.rendering.sampling.NarrowBandSampler` or uniform."""

    def sample(
        self,
        origins: Float[Tensor, "r 3"],
        direction: Float[Tensor, "3"] | Float[Tensor, "r 3"],
        alpha: float | Float[Tensor, ""],
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "r k"], Bool[Tensor, "r"]]:
        """Sorted depths, and which rays are worth rendering."""


@dataclass(frozen=True)
class RayBundle:
    """What r rays of k samples saw; all but ``points`` and ``depths`` differentiable."""

    color: Float[Tensor, "r 3"]
    """sRGB over the background."""
    opacity: Float[Tensor, "r"]
    normal: Float[Tensor, "r 3"]
    """Opacity-weighted mean of unit normals (field frame); at most ``opacity`` long."""
    depth: Float[Tensor, "r"]
    """Mean distance from the ray's origin, of what is opaque."""
    weights: Float[Tensor, "r k"]
    """Share of each sample in the ray; they sum to the opacity."""
    samples: FieldSample
    """The field at ``points``."""
    points: Float[Tensor, "n 3"]
    """The samples' places (field frame), n = r * k, ray after ray."""
    depths: Float[Tensor, "r k"]


@dataclass(frozen=True)
class Picture:
    """A square view of the field, row 0 on top; normals in the field frame, depths from the ray's start."""

    color: Float[Tensor, "h h 3"]
    opacity: Float[Tensor, "h h"]
    normal: Float[Tensor, "h h 3"]
    depth: Float[Tensor, "h h"]


def render_rays(
    field: RenderedField,
    origins: Float[Tensor, "r 3"],
    direction: Float[Tensor, "3"] | Float[Tensor, "r 3"],
    depths: Float[Tensor, "r k"],
    background: Float[Tensor, "3"] | Float[Tensor, "r 3"],
) -> RayBundle:
    """Renders the rays from k >= 2 sorted depths each, with the closed-form opacity of k - 1 segments.

    A segment's weight is shared by its two ends. ``direction`` has unit length.
    """
    rays, k = depths.shape
    points = (origins[:, None] + depths[..., None] * direction.view(-1, 1, 3)).view(-1, 3)
    samples = field(points)
    s = samples.sdf.view(rays, k)
    tau = segment_optical_depth(s[:, :-1], s[:, 1:], depths[:, 1:] - depths[:, :-1], field.alpha)
    segment, through = segment_weights(tau)
    weights = 0.5 * (
        torch.nn.functional.pad(segment, (0, 1)) + torch.nn.functional.pad(segment, (1, 0))
    )
    unit = torch.nn.functional.normalize(samples.gradient, dim=1)
    seen = torch.bmm(weights[:, None], torch.cat([samples.color, unit], 1).view(rays, k, 6))[:, 0]
    opacity = 1.0 - through
    depth = (weights * depths).sum(1) / opacity.clamp(min=1e-6)
    return RayBundle(
        color=seen[:, :3] + through[:, None] * background,
        opacity=opacity,
        normal=seen[:, 3:],
        depth=depth,
        weights=weights,
        samples=samples,
        points=points,
        depths=depths,
    )


def render_rays_in_chunks(
    field: RenderedField,
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    depths: Float[Tensor, "r k"],
    background: Float[Tensor, "3"],
    chunk: int | None,
) -> RayBundle:
    """As :func:`render_rays`, ``chunk`` rays at a time (None: all at once).

    Between the chunks only their results are kept; the backward computes each chunk again, so memory
    is one chunk's and time a third more. Values and gradients are the same.
    """
    if chunk is None or len(origins) <= chunk:
        return render_rays(field, origins, directions, depths, background)
    # Stopping the second pass early saves nothing here, and would end it inside a checked function.
    with set_checkpoint_early_stop(False):
        parts = [
            checkpoint(
                render_rays,
                field,
                origins[rows],
                directions[rows],
                depths[rows],
                background,
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for rows in (slice(k, k + chunk) for k in range(0, len(origins), chunk))
        ]
    samples = FieldSample(
        *(torch.cat(t) for t in zip(*(_parts(p.samples) for p in parts), strict=True))
    )
    return RayBundle(
        color=torch.cat([part.color for part in parts]),
        opacity=torch.cat([part.opacity for part in parts]),
        normal=torch.cat([part.normal for part in parts]),
        depth=torch.cat([part.depth for part in parts]),
        weights=torch.cat([part.weights for part in parts]),
        samples=samples,
        points=torch.cat([part.points for part in parts]),
        depths=depths,
    )


def _parts(samples: FieldSample) -> tuple[Tensor, Tensor, Tensor]:
    return samples.sdf, samples.gradient, samples.color


@torch.no_grad()
def render_image(
    field: RenderedField,
    sampler: RaySampler,
    camera: OrthographicCamera,
    resolution: int,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    chunk: int = 4096,
) -> Picture:
    """Renders ``camera``'s whole view at ``resolution``^2 pixel centres, ``chunk`` rays at a time."""
    device = field.device
    starts, forward = camera.pixel_rays(pixel_centers(resolution))
    origins = torch.from_numpy(starts).to(device)
    direction = torch.from_numpy(forward).to(device)
    backdrop = torch.tensor(background, device=device)
    count = resolution * resolution
    color = backdrop.repeat(count, 1)
    opacity = torch.zeros(count, device=device)
    normal = torch.zeros(count, 3, device=device)
    depth = torch.zeros(count, device=device)
    for start in range(0, count, chunk):
        part = origins[start : start + chunk]
        depths, hit = sampler.sample(part, direction, field.alpha)
        seen = torch.nonzero(hit)[:, 0]
        if len(seen) == 0:
            continue
        rays = render_rays(field, part[seen], direction, depths[seen], backdrop)
        color[start + seen] = rays.color
        opacity[start + seen] = rays.opacity
        normal[start + seen] = rays.normal
        depth[start + seen] = rays.depth
    shape = (resolution, resolution)
    return Picture(
        color.view(*shape, 3), opacity.view(shape), normal.view(*shape, 3), depth.view(shape)
    )

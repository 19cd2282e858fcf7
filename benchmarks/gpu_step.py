"""One step of a Ref-SDS fit, stage by stage, ours and the naive way, for gpu.py to time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpu_models import Architecture, band_regions, build_field, random_condition, random_reference
from scipy.spatial import cKDTree
from torch import Tensor

from backend.field.volume import sample_grid
from backend.geometry.cameras import pixel_centers
from backend.guidance.attention import attend, attend_with_bias
from backend.guidance.prior import CachedReference, Reference, add_noise
from backend.guidance.reference_attention import install_reference_attention
from backend.guidance.reference_cache import CachePlan, ReferenceCache
from backend.optimization import losses
from backend.optimization.adam import Adam
from backend.optimization.rays import Rays, RenderedRays, render_batch, view_rays
from backend.rendering.sampling import NarrowBandSampler
from backend.rendering.slots import SlotBudget
from backend.settings import GenerateSettings

STAGES = ("render", "losses", "encode", "unet", "backward", "adam")
GUIDANCE_SCALE = 7.5
# Of 30 UniPC steps the last six (strength 0.2).
REFINE_STEPS = 6
_SIDE = 100.0


class Clock:
    """Milliseconds of stages; on a GPU it waits for the device at each lap."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self.laps: dict[str, list[float]] = {}
        self._last = 0.0

    def start(self) -> None:
        """Begin a step."""
        self._last = self._now()

    def lap(self, stage: str) -> None:
        """Everything since the last lap was ``stage``."""
        now = self._now()
        self.laps.setdefault(stage, []).append(1e3 * (now - self._last))
        self._last = now

    def medians(self, warm_up: int) -> dict[str, float]:
        """Of each stage, without the first ``warm_up`` laps."""
        return {stage: statistics.median(laps[warm_up:]) for stage, laps in self.laps.items()}

    def _now(self) -> float:
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


class NoClock(Clock):
    """Times nothing and never waits: for whole steps, one after the other."""

    def start(self) -> None:
        """Nothing."""

    def lap(self, stage: str) -> None:
        """Nothing."""


class Bench:
    """A field, a prior and a photo of noise, and the steps that fit one to the other."""

    def __init__(
        self,
        settings: GenerateSettings,
        shape: Architecture,
        prior: Any,
        device: torch.device,
        plan: CachePlan,
    ) -> None:
        self.settings, self.prior, self.device, self.plan = settings, prior, device, plan
        self.dtype = prior.unet.dtype
        self.field = build_field(settings.field, device)
        self.sampler = NarrowBandSampler(settings.rendering)
        self.sampler.refresh(self.field)
        groups = [
            {**group, "lr": 0.0} for group in self.field.parameter_groups(settings.optimization)
        ]
        self.optimizer = Adam(groups, betas=(0.9, 0.99), eps=1e-15)
        self.budget = SlotBudget(device)
        self.draws = torch.Generator(device).manual_seed(0)
        self.condition = random_condition(shape, device, self.dtype)
        self.reference = random_reference(shape, prior, self.condition)
        self.regions = band_regions(prior.resolution, device)
        self.t = torch.full((1,), plan.centers[len(plan.centers) // 2], device=device)
        self.host_t = plan.centers[len(plan.centers) // 2]
        self.cache: ReferenceCache | None = None
        self._pixels: dict[int, Tensor] = {}
        self._tree = cKDTree(_surface_points(self.field.base_sdf.cpu().numpy()))

    def build_cache(self) -> float:
        """Records the reference's features; seconds."""
        clock = Clock(self.device)
        clock.start()
        self.cache = ReferenceCache.build(self.prior.unet, self.reference, self.plan)
        clock.lap("cache")
        return clock.laps["cache"][0] / 1e3

    def render(self, resolution: int) -> tuple[RenderedRays, int]:
        """The front's random rays and a whole side view; the number of front rays."""
        rays = min(self.settings.optimization.rays, resolution * resolution) // 2 * 2
        xy = torch.rand(rays, 2, generator=self.draws, device=self.device) * 2.0 - 1.0
        views: tuple[Rays, ...] = (view_rays(0.0, xy), view_rays(_SIDE, self._picture(resolution)))
        background = torch.rand(3, generator=self.draws, device=self.device)
        view = render_batch(
            self.field, self.sampler, self.budget, views, background, self.draws, None
        )
        return view, rays

    def losses(self, view: RenderedRays, rays: int) -> Tensor:
        """All terms of Eq. 5 that need no prior, against targets of noise."""
        rows, weight = slice(0, rays), view.solid[:rays]
        bundle, counted = view.bundle, view.sample_weight
        target = view.origins[rows].sigmoid()
        near = losses.near_surface(bundle.samples.sdf, self.field.alpha.detach())
        base = sample_grid(self.field.base_sdf, bundle.points.clamp(-1.0, 1.0))
        pairs = view.normal[rows].view(-1, 2, 3)
        terms = (
            losses.rgb_loss(view.color[rows], target, weight),
            losses.iou_loss(view.opacity[rows], target[:, 0]),
            losses.normal_loss(view.normal[rows], target, weight),
            losses.smoothness_loss(pairs, weight.view(-1, 2)[:, 0]),
            losses.sdf_loss(bundle.samples.sdf, base, counted),
            losses.eikonal_loss(bundle.samples.gradient, near * counted),
        )
        return torch.stack(terms).sum()

    def latents(self, view: RenderedRays, rays: int, resolution: int) -> Tensor:
        """The side view through the VAE's encoder, with gradients."""
        picture = view.color[rays:].T.reshape(1, 3, resolution, resolution)
        return self.prior.encode(picture)

    @torch.no_grad()
    def noise(self, latents: Tensor, beside: Reference | CachedReference) -> tuple[Tensor, Tensor]:
        """The prior's estimate of the noise, and the noise that was added."""
        noise = torch.randn(
            latents.shape, generator=self.draws, device=self.device, dtype=latents.dtype
        )
        alpha = self.prior.alphas_cumprod[self.host_t : self.host_t + 1]
        found = self.prior.predict_noise(
            add_noise(latents, noise, alpha),
            self.t,
            self.condition,
            guidance_scale=GUIDANCE_SCALE,
            reference=beside,
            regions=self.regions,
        )
        return found, noise

    def beside(self, *, cached: bool) -> Reference | CachedReference:
        """The reference of a step: looked up, or to be denoised along."""
        if not cached:
            return self.reference
        assert self.cache is not None
        return self.cache.look_up([self.host_t], [0])

    def step(self, resolution: int, clock: Clock, *, cached: bool = True) -> None:
        """One whole step, ours."""
        clock.start()
        view, rays = self.render(resolution)
        clock.lap("render")
        total = self.losses(view, rays)
        clock.lap("losses")
        latents = self.latents(view, rays, resolution)
        clock.lap("encode")
        found, noise = self.noise(latents.detach(), self.beside(cached=cached))
        clock.lap("unet")
        self._finish(total, latents, found - noise, clock)

    def naive_step(self, resolution: int, clock: Clock, *, refined: bool) -> None:
        """The same step as the released code makes it.

        The body's distances are asked of a library on the host for each sample, the reference takes a
        pass of its own in each step, regions are a float mask over all pairs, and in the last part of
        the run each step refines its picture anew. Rays and samples are ours.
        """
        clock.start()
        view, rays = self.render(resolution)
        clock.lap("render")
        # A nearest-neighbour query alone is less than what a signed distance to a mesh takes.
        asked = view.bundle.points.cpu().numpy()
        distance, _ = self._tree.query(asked, workers=-1)
        body = torch.from_numpy(distance.astype(np.float32)).to(self.device)
        total = self.losses(view, rays) + (view.bundle.samples.sdf - body).abs().mean()
        clock.lap("losses")
        latents = self.latents(view, rays, resolution)
        clock.lap("encode")
        found, noise = self.noise(latents.detach(), self._own_pass())
        clock.lap("unet")
        if refined:
            self.refine(latents.detach(), naive=True)
            clock.lap("refine")
        self._finish(total, latents, found - noise, clock)

    @torch.no_grad()
    def refine(self, latents: Tensor, *, naive: bool) -> Tensor:
        """The last steps of a denoising and the decoded picture (the solver's own sums cost nothing)."""
        for _ in range(REFINE_STEPS):
            beside = self._own_pass() if naive else self.reference
            found, _ = self.noise(latents, beside)
            latents = latents - 0.01 * found
        return self.prior.decode(latents)

    def use_mask(self, on: bool) -> None:
        """Switch the U-Net between the fused attention and the one with a float mask."""
        install_reference_attention(self.prior.parts.unet, attend_with_bias if on else attend)

    @torch.no_grad()
    def _own_pass(self) -> CachedReference:
        """The reference's features by a pass of its own."""
        return CachedReference(self.prior.unet.record(self.reference, self.t, 2), rows=1)

    def _finish(self, total: Tensor, latents: Tensor, difference: Tensor, clock: Clock) -> None:
        weight = (1.0 - self.prior.alphas_cumprod[self.host_t]) * 1e-3
        guided = (latents * (weight * difference).nan_to_num()).sum()
        self.optimizer.zero_grad()
        (total + guided).backward()
        clock.lap("backward")
        self.optimizer.step()
        clock.lap("adam")

    def _picture(self, resolution: int) -> Tensor:
        if resolution not in self._pixels:
            centers = torch.from_numpy(pixel_centers(resolution)).float()
            self._pixels[resolution] = centers.to(self.device)
        return self._pixels[resolution]


def timed(work: Callable[[], object], device: torch.device, repeat: int) -> float:
    """Median milliseconds of ``work``, after one call that is not counted."""
    clock = Clock(device)
    for _ in range(repeat + 1):
        clock.start()
        work()
        clock.lap("work")
    return clock.medians(1)["work"]


def _surface_points(sdf: np.ndarray) -> np.ndarray:
    """As many points of the surface as a body mesh has vertices (x, y, z)."""
    n = len(sdf)
    nodes = np.argwhere(np.abs(sdf) < 2.0 / (n - 1))[:, ::-1]
    chosen = nodes[np.linspace(0, len(nodes) - 1, min(len(nodes), 10_475)).astype(int)]
    return chosen * (2.0 / (n - 1)) - 1.0

"""Memory tiers: what a run may spend on a GPU, chosen before the start from what the GPU has free.

A tier trades speed, never the result's definition: rays go through in smaller chunks that are computed
twice, the VAE's encoder is recomputed instead of kept, the reference cache holds fewer noise samples or
lies in the host's memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backend.errors import HumanRefError
from backend.field.encodings.grid import FEATURES, HashGridLayout
from backend.guidance.memory import GuidanceMemory, PriorSizes
from backend.settings import GenerateSettings

GIB = 2**30
# CUDA's own context, cuBLAS and cuDNN workspaces, and the allocator's rounding.
_CONTEXT = 1.0 * GIB
# Share of the free memory that a plan may fill: fragments and other programs take the rest.
_FILL = 0.92
_FLOAT = 4
# Numbers per sample besides encoding and networks: points, SDF, slope, colour, base, weights.
_PER_SAMPLE = 40
# Share of a picture's rays that meet a person: a standing figure fills less than half of its square.
_HITS = 0.5


@dataclass(frozen=True)
class MemoryTier:
    """One way to spend memory."""

    name: str
    """The GPU it is meant for."""
    ray_chunk: int | None
    """Rays rendered at once; None = all."""
    guidance: GuidanceMemory


TIERS = (
    MemoryTier("40 GB", None, GuidanceMemory(noises=4)),
    MemoryTier("24 GB", 131_072, GuidanceMemory(noises=4)),
    MemoryTier("16 GB", 65_536, GuidanceMemory(noises=2)),
    MemoryTier("12 GB", 32_768, GuidanceMemory(noises=1, checkpoint_encoder=True)),
    MemoryTier(
        "8 GB",
        8_192,
        GuidanceMemory(
            noises=1,
            bucket_width=20,
            place="pinned",
            checkpoint_encoder=True,
            one_picture_at_a_time=True,
        ),
    ),
)
"""From the largest to the smallest."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on the GPU, by what they hold."""

    weights: int
    cache: int
    field: int
    """Parameters, gradients and both moments of Adam; the grids of body and sampler."""
    rendering: int
    encoding: int
    denoising: int
    context: int = int(_CONTEXT)

    @property
    def total(self) -> int:
        """The peak: a render is kept while the encoder's backward runs; the U-Net runs in between."""
        standing = self.weights + self.cache + self.field + self.context
        return standing + self.rendering + max(self.encoding, self.denoising)

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "reference cache": self.cache,
            "field": self.field,
            "rendering": self.rendering,
            "encoder and U-Net": max(self.encoding, self.denoising),
        }
        listed = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items() if size)
        return f"{self.total / GIB:.1f} GB ({listed})"


@dataclass(frozen=True)
class PriorUse:
    """How a run uses its prior."""

    sizes: PriorSizes
    unet_dtype: torch.dtype
    vae_dtype: torch.dtype
    t_min: int
    t_max: int
    branches: int = 2
    views: int = 1
    """Pictures a step."""


def estimate_memory(
    settings: GenerateSettings, tier: MemoryTier, prior: PriorUse | None
) -> MemoryEstimate:
    """What a run takes on a GPU in this tier, by formula. ``prior``: None without diffusion guidance."""
    weights = cache = encoding = denoising = 0
    if prior is not None:
        sizes, spend = prior.sizes, tier.guidance
        half, full = prior.unet_dtype.itemsize, prior.vae_dtype.itemsize
        weights = half * (sizes.unet + sizes.text_encoder) + full * sizes.vae
        plan = spend.plan(prior.t_min, prior.t_max, prior.branches)
        entries = len(plan.centers) * plan.noises * plan.branches
        # In pinned memory one entry a branch is on the GPU at a time, and the next on its way.
        held = entries if spend.place == "device" else 2 * prior.branches
        cache = half * sizes.cache_entry * held
        encoding = full * prior.views * sizes.encoding(checkpointed=spend.checkpoint_encoder)
        # Without the cache's help the reference's own rows run too: refinement does that.
        denoising = half * sizes.denoising(2 * prior.branches * prior.views)
        at_once = 1 if spend.one_picture_at_a_time else prior.views
        denoising = max(denoising, full * at_once * sizes.decoding())
    return MemoryEstimate(
        weights=weights,
        cache=cache,
        field=_field_bytes(settings),
        rendering=_rendering_bytes(settings, tier, picture=prior is not None),
        encoding=encoding,
        denoising=denoising,
    )


def _field_bytes(settings: GenerateSettings) -> int:
    layout = HashGridLayout.from_settings(settings.field)
    hidden = settings.field.hidden
    networks = 2 * hidden * hidden + hidden * (layout.width + 2 * settings.field.sdf_levels + 7)
    grids = settings.field.body_grid**3 + settings.rendering.grid_resolution**3
    return _FLOAT * (4 * (FEATURES * layout.total + networks) + grids)


def _rendering_bytes(settings: GenerateSettings, tier: MemoryTier, *, picture: bool) -> int:
    """Numbers of every sample that the backward needs, one chunk's at a time, and of every result."""
    options = settings.optimization
    side = min(max(options.resolutions), settings.working_resolution)
    rays = min(options.rays, side * side)
    if picture:
        rays += round(_HITS * side * side)
    field = settings.field
    slopes = min(field.sdf_levels, field.levels)
    features, jacobian = 2 * field.levels, 3 * 2 * slopes
    kept = features + jacobian + (2 * slopes + 3) + 5 * field.hidden + 2 * slopes
    samples = settings.rendering.samples
    at_once = rays if tier.ray_chunk is None else min(rays, tier.ray_chunk)
    # Both directions of features and Jacobian exist at once in the backward.
    in_chunk = at_once * samples * (kept + features + jacobian + _PER_SAMPLE)
    return _FLOAT * (in_chunk + rays * samples * _PER_SAMPLE)


@dataclass(frozen=True)
class TierChoice:
    """The tier of a run, and why."""

    tier: MemoryTier
    estimate: MemoryEstimate
    free: int
    """Bytes that the GPU had free."""

    def __str__(self) -> str:
        return f"{self.tier.name} tier: about {self.estimate} of {self.free / GIB:.1f} GB free"


def choose_tier(settings: GenerateSettings, prior: PriorUse | None, free: int) -> TierChoice:
    """The largest tier that fits into ``free`` bytes.

    Raises:
        HumanRefError: ``gpu_too_small`` when not even the smallest does.
    """
    for tier in TIERS:
        estimate = estimate_memory(settings, tier, prior)
        if estimate.total <= _FILL * free:
            return TierChoice(tier, estimate, free)
    raise HumanRefError(
        "gpu_too_small",
        f"The GPU has {free / GIB:.1f} GB free; this run needs about {estimate} "
        f"in its smallest tier.",
        "Close other programs that use the GPU, choose a smaller preset or another guidance, "
        "or use --device cpu.",
    )


def lower_tier(tier: MemoryTier) -> MemoryTier | None:
    """The next smaller tier, None below the smallest."""
    place = TIERS.index(tier) + 1
    return TIERS[place] if place < len(TIERS) else None


def plan_memory(
    settings: GenerateSettings, device: torch.device, prior: PriorUse | None = None
) -> TierChoice | None:
    """The tier of a run on ``device``, before anything is loaded; None where memory is not a GPU's.

    Raises:
        HumanRefError: ``gpu_too_small``.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return choose_tier(settings, prior, int(free))

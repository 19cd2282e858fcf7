"""The models of gpu.py: Stable Diffusion 1.5's architecture with random weights, and a figure to fit.

Speed and memory do not depend on the weights, so nothing is downloaded. ``toy`` keeps every code path
(16 transformer blocks, the VAE's four levels) at a width that a CPU runs in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.networks import HumanField
from backend.guidance.memory import STABLE_DIFFUSION_15, PriorSizes
from backend.guidance.prior import Condition, PredictionType, Reference
from backend.guidance.regions import RegionMaps
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.stable_diffusion_loading import StableDiffusionParts, quiet_libraries
from backend.settings import FieldSettings

TOKENS = 77
_REGION_ROWS = (0.14, 0.5, 0.9)


@dataclass(frozen=True)
class Architecture:
    """Widths of a latent diffusion model with the block layout of version 1.5."""

    unet_widths: tuple[int, int, int, int]
    vae_widths: tuple[int, int, int, int]
    vae_blocks: int
    latent: int
    heads: int
    text_width: int
    groups: int


SD15 = Architecture((320, 640, 1280, 1280), (128, 256, 512, 512), 2, 64, 8, 768, 32)
TOY = Architecture((16, 32, 32, 32), (8, 8, 8, 8), 1, 8, 2, 32, 4)


def build_prior(shape: Architecture, device: torch.device, dtype: torch.dtype) -> Any:
    """A :class:`StableDiffusionPrior` of this shape with random weights, frozen, on ``device``."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    torch.manual_seed(0)
    with quiet_libraries(), device:
        unet = UNet2DConditionModel(
            sample_size=shape.latent,
            block_out_channels=shape.unet_widths,
            layers_per_block=2,
            cross_attention_dim=shape.text_width,
            attention_head_dim=shape.heads,
            norm_num_groups=shape.groups,
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=shape.vae_widths,
            layers_per_block=shape.vae_blocks,
            norm_num_groups=shape.groups,
            sample_size=8 * shape.latent,
            latent_channels=4,
            scaling_factor=0.18215,
        )
        vae_dtype = torch.float32 if dtype is torch.float16 else dtype
        unet, vae = unet.to(dtype), vae.to(vae_dtype)
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64).square()
    parts = StableDiffusionParts(
        unet=unet.to(memory_format=layout).eval().requires_grad_(False),
        vae=vae.to(memory_format=layout).eval().requires_grad_(False),
        text_encoder=None,
        tokenizer=None,
        alphas_cumprod=(1.0 - betas).cumprod(0).float().to(device),
        prediction_type=PredictionType.EPSILON,
    )
    return StableDiffusionPrior(parts, "random weights", "none")


def prior_sizes(shape: Architecture, prior: Any) -> PriorSizes:
    """The sizes that the memory estimate reads, of a prior that was built here."""
    if shape is SD15:
        return STABLE_DIFFUSION_15
    layers = prior.unet.layers
    rows = [layer.size(shape.latent, shape.latent) for layer in layers]
    return PriorSizes(
        unet=sum(p.numel() for p in prior.parts.unet.parameters()),
        vae=sum(p.numel() for p in prior.parts.vae.parameters()),
        text_encoder=0,
        cache_entry=sum(h * w * layer.channels for (h, w), layer in zip(rows, layers, strict=True)),
        picture=prior.resolution,
        unet_widths=shape.unet_widths,
        vae_widths=shape.vae_widths,
        vae_blocks=shape.vae_blocks,
    )


def random_condition(shape: Architecture, device: torch.device, dtype: torch.dtype) -> Condition:
    """Words that mean nothing, as long as a prompt's."""
    size = (1, TOKENS, shape.text_width)
    return Condition(
        torch.randn(size, device=device).to(dtype), torch.randn(size, device=device).to(dtype)
    )


def random_reference(shape: Architecture, prior: Any, condition: Condition) -> Reference:
    """A photo of noise, encoded."""
    side = prior.resolution
    place = prior.alphas_cumprod.device
    with torch.no_grad():
        latents = prior.encode(torch.rand(1, 3, side, side, device=place))
    return Reference(latents, condition, torch.randn_like(latents))


def band_regions(side: int, device: torch.device) -> RegionMaps:
    """Four bands of a standing figure in the middle third of the picture, background beside it."""
    t = (torch.arange(side, device=device) + 0.5) / side
    band = 1 + sum((t > row).long() for row in _REGION_ROWS)
    inside = (t - 0.5).abs() < 1.0 / 6.0
    labels = torch.where(inside[None, :], band[:, None], torch.zeros_like(band)[:, None])
    return RegionMaps(labels[None], labels, gamma=0.3)


def figure_sdf(n: int) -> Float[Tensor, "n n n"]:
    """A standing figure of capsules on a grid over (z, y, x): about a fifth of the picture."""
    axis = torch.linspace(-1.0, 1.0, n)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], -1)
    bones = (
        ((0.0, 0.72, 0.0), (0.0, 0.78, 0.0), 0.13),
        ((0.0, 0.05, 0.0), (0.0, 0.5, 0.0), 0.17),
        ((0.16, 0.48, 0.0), (0.42, 0.0, 0.0), 0.06),
        ((-0.16, 0.48, 0.0), (-0.42, 0.0, 0.0), 0.06),
        ((0.1, 0.0, 0.0), (0.14, -0.85, 0.0), 0.09),
        ((-0.1, 0.0, 0.0), (-0.14, -0.85, 0.0), 0.09),
    )
    distance = torch.full((n, n, n), torch.inf)
    for start, end, radius in bones:
        a, ab = torch.tensor(start), torch.tensor(end) - torch.tensor(start)
        along = (((points - a) @ ab) / ab.square().sum()).clamp(0.0, 1.0)
        gap = (points - a - along[..., None] * ab).norm(dim=-1) - radius
        distance = torch.minimum(distance, gap)
    return distance


def build_field(settings: FieldSettings, device: torch.device) -> HumanField:
    """The field around that figure, with the encoding that a run would take on ``device``."""
    encoding, _ = make_encoding("auto", HashGridLayout.from_settings(settings), str(device))
    torch.manual_seed(0)
    return HumanField(settings, figure_sdf(settings.body_grid), encoding).to(device)

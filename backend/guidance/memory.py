"""What a diffusion prior costs on a GPU, by formula from its configuration, and what can be spared.

All figures are known before a single weight is loaded: parameter counts come from the headers of the
safetensors files, activations from the widths of the blocks. benchmarks/gpu.py reports the measured
peak beside the estimate.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from backend.errors import HumanRefError
from backend.guidance.reference_cache import CachePlan, Place
from backend.guidance.stable_diffusion_files import part_variant, read_config

# Tensors of a residual block that its backward needs, in pictures of its own width and size: input,
# two normalised, two activated, one between.
_KEPT = 6.0
# Of the widest block while a pass runs without gradients: input, output, normalised, activated, one
# more for the convolution's workspace.
_WORKING = 5.0
# A transformer block's gated feed-forward: 8 widths in, 4 out, and the states around it.
_TRANSFORMER = 16.0


@dataclass(frozen=True)
class GuidanceMemory:
    """Where a prior may spend memory, and where it must not."""

    noises: int = 1
    """Noise samples a bucket of the reference cache."""
    bucket_width: int = 10
    """Timesteps a bucket."""
    place: Place = "device"
    """Where the reference cache lives."""
    checkpoint_encoder: bool = False
    """Recompute the VAE encoder level by level in the backward instead of keeping its activations."""
    one_picture_at_a_time: bool = False
    """Decode the pictures of the view bank one after the other."""

    def plan(self, t_min: int, t_max: int, branches: int) -> CachePlan:
        """The cache that this allows."""
        return CachePlan(t_min, t_max, self.bucket_width, self.noises, branches)


@runtime_checkable
class SparesMemory(Protocol):
    """A guidance that can do with less memory on a GPU."""

    def spare(self, memory: GuidanceMemory) -> None:
        """Spend no more than this from now on: free what is held, rebuild what is needed smaller."""


def spend(vae: Any, memory: GuidanceMemory) -> None:
    """Switch a diffusers VAE to what ``memory`` allows; values and gradients stay the same."""
    (
        vae.enable_gradient_checkpointing
        if memory.checkpoint_encoder
        else vae.disable_gradient_checkpointing
    )()
    (vae.enable_slicing if memory.one_picture_at_a_time else vae.disable_slicing)()


@dataclass(frozen=True)
class PriorSizes:
    """A latent diffusion model in numbers (not bytes)."""

    unet: int
    """Parameters."""
    vae: int
    text_encoder: int
    cache_entry: int
    """Numbers in one entry of the reference cache (one bucket, noise and branch)."""
    picture: int
    """Side of its pictures."""
    unet_widths: tuple[int, ...]
    vae_widths: tuple[int, ...]
    vae_blocks: int
    """Residual blocks a level of the encoder."""

    @property
    def latent(self) -> int:
        """Side of the latents."""
        return self.picture // 2 ** (len(self.vae_widths) - 1)

    def encoding(self, *, checkpointed: bool) -> int:
        """Numbers that encoding one picture keeps for its backward, with what the backward adds."""
        blocks = [
            width * (self.picture // 2**level) ** 2
            for level, width in enumerate(self.vae_widths)
            for _ in range(self.vae_blocks)
        ]
        # The middle: two residual blocks and an attention between them.
        blocks += 3 * [blocks[-1]]
        if checkpointed:
            # Levels are recomputed whole: their inputs stay, and one level at a time is as dear as ever.
            level = _KEPT * self.vae_blocks * max(blocks)
            return round(sum(blocks) / self.vae_blocks + level + 2.0 * max(blocks))
        return round(_KEPT * sum(blocks) + 2.0 * max(blocks))

    def decoding(self) -> int:
        """Numbers at the peak of decoding one picture without gradients."""
        # The decoder's last upsampling doubles the second width at full size.
        widest = self.vae_widths[min(1, len(self.vae_widths) - 1)] * self.picture**2
        return round(_WORKING * widest)

    def denoising(self, rows: int) -> int:
        """Numbers at the peak of one U-Net pass over so many rows, without gradients."""
        first = self.unet_widths[0] * self.latent**2
        skips = sum(
            3 * width * (self.latent // 2**level) ** 2
            for level, width in enumerate(self.unet_widths)
        )
        # Keys and values of twice the tokens beside the feed-forward's own tensors.
        return round(rows * (_TRANSFORMER * first + skips))

    @staticmethod
    def of_folder(folder: Path) -> PriorSizes:
        """Sizes of a diffusers Stable Diffusion folder that was checked; reads headers only.

        Raises:
            HumanRefError: ``weights_unreadable``, ``weights_incomplete``, ``pickle_refused``.
        """
        unet = read_config(folder / "unet" / "config.json")
        vae = read_config(folder / "vae" / "config.json")
        widths = tuple(int(width) for width in unet["block_out_channels"])
        vae_widths = tuple(int(width) for width in vae["block_out_channels"])
        side = int(unet["sample_size"])
        return PriorSizes(
            unet=count_parameters(folder, "unet"),
            vae=count_parameters(folder, "vae"),
            text_encoder=count_parameters(folder, "text_encoder"),
            cache_entry=_cache_entry(unet, widths, side),
            picture=side * 2 ** (len(vae_widths) - 1),
            unet_widths=widths,
            vae_widths=vae_widths,
            vae_blocks=int(vae.get("layers_per_block", 1)),
        )


STABLE_DIFFUSION_15 = PriorSizes(
    unet=859_520_964,
    vae=83_653_863,
    text_encoder=123_060_480,
    cache_entry=11_550_720,
    picture=512,
    unet_widths=(320, 640, 1280, 1280),
    vae_widths=(128, 256, 512, 512),
    vae_blocks=2,
)
"""Version 1.5, for tables and benchmarks; a run reads its own folder."""


def count_parameters(folder: Path, part: str) -> int:
    """Parameters of one network, from the headers of its safetensors files.

    Raises:
        HumanRefError: ``weights_unreadable`` for a file without a header.
    """
    variant = part_variant(folder, part, None)
    ends = f".{variant}.safetensors" if variant else ".safetensors"
    files = [
        path
        for path in sorted((folder / part).glob("*.safetensors"))
        if path.name.endswith(ends) and (variant or path.name.count(".") == 1)
    ]
    return sum(
        prod(entry["shape"])
        for path in files
        for name, entry in _header(path).items()
        if name != "__metadata__" and not str(entry["dtype"]).startswith("I")
    )


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            found = json.loads(stream.read(length))
        if not isinstance(found, dict):
            raise ValueError("its header is no table")
    except (OSError, ValueError, struct.error) as error:
        raise HumanRefError(
            "weights_unreadable", f"{path} is no safetensors file: {error}.", "Download it again."
        ) from error
    return found


def _cache_entry(unet: dict[str, object], widths: Sequence[int], side: int) -> int:
    """Tokens times channels over all self-attentions (see ``install_reference_attention``)."""
    layers = int(str(unet.get("layers_per_block", 2)))
    down = list(unet.get("down_block_types", ()))  # type: ignore[call-overload]
    up = list(unet.get("up_block_types", ()))  # type: ignore[call-overload]
    sizes = [side]
    for _ in widths[1:]:
        sizes.append(-(-sizes[-1] // 2))
    numbers = sizes[-1] ** 2 * widths[-1]
    for level, width in enumerate(widths):
        blocks = layers * ("CrossAttn" in down[level])
        blocks += (layers + 1) * ("CrossAttn" in up[len(widths) - 1 - level])
        numbers += blocks * sizes[level] ** 2 * width
    return numbers

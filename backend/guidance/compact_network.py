"""The compact prior's network: a small U-Net over folded pixels that predicts the clean picture.

A 128 x 128 picture in [-1, 1] is folded 4 x 4 into 48 channels of 32 x 32: no autoencoder, so the
gradient to a render is exact. Besides the noisy picture it sees what the body looks like there and the
photo's colours carried over the body (:data:`MAPS`). Two learned gates a pixel let the carried colours
and the noisy picture itself pass at full detail, which 64 features could not carry:

    x0 = F + gate_warp * warp + gate_noisy * wiener(t) * x_t

Three convolutions on the unfolded picture then take away the seams of the 4 x 4 blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn import functional

from backend.guidance.geometry_bias import GeometryBias, PlacedAttention, TokenPlaces
from backend.guidance.reference_attention import (
    AttentionLayer,
    RecordCall,
    ReferenceCall,
    install_reference_attention,
)

FOLD = 4
PICTURE_CHANNELS = 3 * FOLD * FOLD
MAPS: Mapping[str, int] = {
    "body_normal": 3,
    "canonical": 3,
    "near": 1,
    "parts": 4,
    "warp": 3,
    "warp_valid": 1,
}
"""Pictures (channels) of every view. ``body_normal``: unit, 0 off the body. ``canonical``: place on the
body carried outwards, 0 where ``near`` is 0. ``parts``: one-hot head, upper, lower, feet of the naked
body. ``warp``: the photo's colours in [-1, 1], 0 where ``warp_valid`` is 0."""
TOKEN_WIDTH = 16
_WAVES = (1.0, 2.0, 4.0)
_NORMALS = 12
# Where each kind of channel lies in the folded maps.
_PLACE = slice(_NORMALS, _NORMALS + 3)
_NEAR = slice(_PLACE.stop + 6 * len(_WAVES), _PLACE.stop + 6 * len(_WAVES) + 1)
_PARTS = slice(_NEAR.stop, _NEAR.stop + 4)
_WARP = slice(_PARTS.stop, _PARTS.stop + PICTURE_CHANNELS)
_VALID = slice(_WARP.stop, _WARP.stop + 1)
_FLAG = slice(_VALID.stop, _VALID.stop + 1)
MAP_CHANNELS = _FLAG.stop
# Variance of a clothed person's colours around mid grey, in [-1, 1].
_SIGNAL_VARIANCE = 0.2
# Share of a token that must show the body for the token to have a place.
_COVERED = 0.05
_GATES = FOLD * FOLD
_FINE = 24


def noise_schedule() -> Float[Tensor, "t"]:
    """alphas_cumprod of 1000 timesteps, the cosine schedule of Nichol and Dhariwal (2021)."""
    from diffusers import DDPMScheduler

    scheduler: Any = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    products: Tensor = scheduler.alphas_cumprod.float()
    return products


def fold(picture: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
    """Pixels to channels, 4 x 4 at a time."""
    return functional.pixel_unshuffle(picture, FOLD)


def unfold(folded: Float[Tensor, "b c2 h2 w2"]) -> Float[Tensor, "b c h w"]:
    """The inverse of :func:`fold`."""
    return functional.pixel_shuffle(folded, FOLD)


def fold_maps(
    maps: Mapping[str, Float[Tensor, "b _ h w"]], reference: bool
) -> Float[Tensor, "b c h4 w4"]:
    """The maps of :data:`MAPS` as input channels.

    Args:
        reference: for the photo itself, which has nothing carried over to it.
    """
    near = maps["near"]
    coarse_near = functional.avg_pool2d(near, FOLD)
    shown = (coarse_near > _COVERED).float()
    place = functional.avg_pool2d(maps["canonical"] * near, FOLD) / coarse_near.clamp_min(_COVERED)
    place = place * shown
    waves = [wave(math.pi * k * place) * shown for k in _WAVES for wave in (torch.sin, torch.cos)]
    warp, valid = fold(maps["warp"]), functional.avg_pool2d(maps["warp_valid"], FOLD)
    if reference:
        warp, valid = torch.zeros_like(warp), torch.zeros_like(valid)
    return torch.cat(
        [
            functional.pixel_unshuffle(functional.avg_pool2d(maps["body_normal"], 2), 2),
            place,
            *waves,
            coarse_near,
            functional.avg_pool2d(maps["parts"], FOLD),
            warp,
            valid,
            torch.full_like(valid, 1.0 if reference else 0.0),
        ],
        1,
    )


def without_warp(maps: Float[Tensor, "b c h w"], rows: Tensor) -> Float[Tensor, "b c h w"]:
    """Folded maps whose ``rows`` (bool) lack the photo's carried colours."""
    keep = torch.ones_like(maps)
    keep[:, _WARP.start : _VALID.stop] = (~rows).float()[:, None, None, None]
    return maps * keep


def without_geometry(maps: Float[Tensor, "b c h w"], rows: Tensor) -> Float[Tensor, "b c h w"]:
    """Folded maps whose ``rows`` (bool) know nothing of the body."""
    keep = torch.ones_like(maps)
    keep[:, : _PARTS.stop] = (~rows).float()[:, None, None, None]
    return maps * keep


def carried_colors(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 48 h w"]:
    """The photo's carried colours (folded) out of folded maps."""
    return maps[:, _WARP]


def token_places(
    maps: Float[Tensor, "b c h w"], layers: Sequence[AttentionLayer]
) -> dict[int, TokenPlaces]:
    """Places of the tokens of folded maps, at every attention's resolution."""
    near = maps[:, _NEAR]
    height, width = maps.shape[-2:]
    found: dict[int, TokenPlaces] = {}
    for size in sorted({layer.size(height, width) for layer in layers}):
        share = functional.adaptive_avg_pool2d(near, size)
        mean = functional.adaptive_avg_pool2d(maps[:, _PLACE] * near, size)
        place = (mean / share.clamp_min(1e-3)).flatten(2).transpose(1, 2)
        found[size[0] * size[1]] = TokenPlaces(place, (share > _COVERED).float().flatten(2)[:, 0])
    return found


def view_tokens(
    azimuth: Float[Tensor, "b"], elevation: Float[Tensor, "b"]
) -> Float[Tensor, "b 1 w"]:
    """One cross-attention token a view (degrees): where the camera stands."""
    a, e = torch.deg2rad(azimuth), torch.deg2rad(elevation)
    waves = [wave(k * a) for k in (1, 2, 3) for wave in (torch.sin, torch.cos)]
    known = torch.stack([*waves, torch.sin(e), torch.cos(e), torch.ones_like(a)], -1)
    return functional.pad(known, (0, TOKEN_WIDTH - known.shape[-1]))[:, None]


class SeamRemover(nn.Module):
    """A residual on whole pixels; zero before it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(9, _FINE, 3, padding=1)
        self.level = nn.Linear(1, _FINE)
        self.middle = nn.Conv2d(_FINE, _FINE, 3, padding=1)
        self.leave = nn.Conv2d(_FINE, 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        clean: Float[Tensor, "b c h w"],
        warp: Float[Tensor, "b c h w"],
        own: Float[Tensor, "b c h w"],
        log_snr: Float[Tensor, "b"],
    ) -> Float[Tensor, "b c h w"]:
        """The folded picture without seams.

        Args:
            warp: the photo's carried colours.
            own: the best linear guess from the noisy picture.
            log_snr: how noisy that is.
        """
        pixels = unfold(clean)
        told = self.level(log_snr[:, None] / 4.0)[:, :, None, None]
        x = self.enter(torch.cat([pixels, unfold(warp), unfold(own)], 1)) + told
        x = self.middle(functional.silu(x))
        return fold(pixels + self.leave(functional.silu(x)).float())


@dataclass(frozen=True)
class CompactConfig:
    """What the network is made of."""

    channels: tuple[int, ...] = (64, 112, 160)
    heads: int = 4
    geometry: bool = True
    """The learned bias of the reference attention (ablation)."""


class CompactNetwork(nn.Module):
    """See the module's text. ``layers`` are its self-attentions, in order."""

    alphas_cumprod: Tensor

    def __init__(self, config: CompactConfig, alphas_cumprod: Float[Tensor, "t"]) -> None:
        super().__init__()
        from diffusers import UNet2DConditionModel

        deep = len(config.channels) - 1
        self.unet: Any = UNet2DConditionModel(
            sample_size=32,
            in_channels=PICTURE_CHANNELS + MAP_CHANNELS,
            out_channels=PICTURE_CHANNELS + 2 * _GATES,
            block_out_channels=config.channels,
            layers_per_block=1,
            down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * deep),
            up_block_types=(*("CrossAttnUpBlock2D",) * deep, "UpBlock2D"),
            cross_attention_dim=TOKEN_WIDTH,
            # diffusers' name for the number of heads.
            attention_head_dim=config.heads,
            norm_num_groups=16,
        )
        self.config = config
        self.register_buffer("alphas_cumprod", alphas_cumprod.float(), persistent=False)
        self.biases = nn.ModuleList()

        def placed(layer: AttentionLayer) -> PlacedAttention:
            bias = GeometryBias(config.heads)
            self.biases.append(bias)
            return PlacedAttention(layer, bias)

        self.layers = install_reference_attention(
            self.unet, joined=placed if config.geometry else None
        )
        self.seams = SeamRemover()

    def forward(
        self,
        noisy: Float[Tensor, "b c h w"],
        t: Integer[Tensor, "b"],
        maps: Float[Tensor, "b m h w"],
        tokens: Float[Tensor, "b k width"],
        call: ReferenceCall | RecordCall | None,
        *,
        seamless: bool = True,
    ) -> Float[Tensor, "b c h w"]:
        """The clean pictures (folded, float32) of all rows, references first where the call has any.

        ``seamless`` False leaves out the last convolutions (the first part of training).
        """
        output = self.unet(
            torch.cat([noisy, maps], 1),
            t,
            encoder_hidden_states=tokens,
            cross_attention_kwargs={"reference": call},
            return_dict=False,
        )[0].float()
        painted, warp_gate, noisy_gate = output.split([PICTURE_CHANNELS, _GATES, _GATES], 1)
        alpha_bar = self.alphas_cumprod[t][:, None, None, None]
        signal = alpha_bar * _SIGNAL_VARIANCE
        # The best linear guess of the clean picture from the noisy one.
        wiener = alpha_bar.sqrt() * _SIGNAL_VARIANCE / (signal + 1.0 - alpha_bar)
        warp = maps[:, _WARP] * (warp_gate - 1.0).sigmoid().repeat(1, 3, 1, 1)
        own = wiener * noisy * noisy_gate.sigmoid().repeat(1, 3, 1, 1)
        clean: Tensor = painted + warp + own
        if not seamless:
            return clean
        log_snr = (alpha_bar / (1.0 - alpha_bar).clamp_min(1e-5)).log()[:, 0, 0, 0]
        return self.seams(clean, maps[:, _WARP], wiener * noisy, log_snr)

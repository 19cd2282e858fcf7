"""The compact prior: a small diffusion model of clothed people that ships with the software.

It knows no words. What a view looks like comes from the photo, by reference attention in a network that
was trained with it, from the body's maps and from the photo's colours carried over the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from backend.errors import HumanRefError
from backend.guidance.compact_files import SHIPPED, CompactModel, read_compact
from backend.guidance.compact_network import (
    FOLD,
    MAP_CHANNELS,
    MAPS,
    PICTURE_CHANNELS,
    fold,
    fold_maps,
    token_places,
    unfold,
    view_tokens,
    without_warp,
)
from backend.guidance.geometry_bias import PlacedCall, TokenPlaces
from backend.guidance.prior import (
    CachedReference,
    Condition,
    PredictionType,
    Prompt,
    Reference,
    View,
    classifier_free_guidance,
    noise_from_prediction,
)
from backend.guidance.reference_attention import RecordCall
from backend.guidance.regions import RegionMaps, repeat_rows, token_factors

RESOLUTION = 128
_SIDE = RESOLUTION // FOLD


@dataclass(frozen=True)
class RememberedReference(CachedReference):
    """The photo's features; being clean, at t = 0, they are the same in every step."""

    places: Mapping[int, TokenPlaces] = field(default_factory=dict)
    """Where its tokens lie on the body."""


class CompactPrior:
    """See :class:`backend.guidance.prior.DiffusionPrior`; latents are folded pixels in [-1, 1].

    Guidance strengthens the photo: the other branch sees neither the photo nor its carried colours.
    """

    name = "compact prior"
    resolution = RESOLUTION
    latent_shape = (PICTURE_CHANNELS, _SIDE, _SIDE)
    required_maps: tuple[str, ...] = tuple(MAPS)
    prediction_type: PredictionType = PredictionType.X0

    def __init__(self, model: CompactModel) -> None:
        self.network, self.licence = model.network, model.licence
        self.alphas_cumprod: Tensor = model.network.alphas_cumprod

    @staticmethod
    def load(device: torch.device, folder: Path = SHIPPED) -> CompactPrior:
        """The shipped prior, or another one in its format.

        Raises:
            HumanRefError: ``weights_missing``, ``weights_corrupt``.
        """
        return CompactPrior(read_compact(folder, device))

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hl wl"]:
        """Resampled to 128 pixels, scaled to [-1, 1], folded: exact and differentiable."""
        size = (RESOLUTION, RESOLUTION)
        if images.shape[-2:] != size:
            shrinks = images.shape[-1] > size[1] or images.shape[-2] > size[0]
            images = functional.interpolate(images, size, mode="bilinear", antialias=shrinks)
        return fold(images * 2.0 - 1.0)

    def decode(self, latents: Float[Tensor, "b c hl wl"]) -> Float[Tensor, "b 3 h w"]:
        """Back to pictures of 128 pixels in [0, 1]."""
        return (unfold(latents.float()) * 0.5 + 0.5).clamp(0.0, 1.0)

    def condition(self, prompt: Prompt, views: Sequence[View]) -> Condition:
        """Where each view's camera stands, and its maps; the caption says nothing to this prior.

        Raises:
            HumanRefError: ``maps_missing``.
        """
        rows = [self._fold_view(view) for view in views]
        device = self.alphas_cumprod.device
        azimuth = torch.tensor([view.azimuth for view in views], device=device)
        elevation = torch.tensor([view.elevation for view in views], device=device)
        tokens = view_tokens(azimuth, elevation)
        return Condition(tokens, tokens, torch.cat(rows))

    def _fold_view(self, view: View) -> Float[Tensor, "1 m hl wl"]:
        missing = [name for name in MAPS if name not in view.maps]
        if missing:
            raise HumanRefError(
                "maps_missing",
                f"The compact prior needs maps of every view; {', '.join(missing)} is missing.",
            )
        device = self.alphas_cumprod.device
        maps = {name: view.maps[name][None].to(device) for name in MAPS}
        return fold_maps(maps, view.reference)

    @torch.no_grad()
    def remember(self, reference: Reference) -> RememberedReference:
        """The features of a clean reference, for any number of later passes."""
        assert reference.condition.maps is not None
        call = RecordCall()
        latents = reference.latents
        t = torch.zeros(1, dtype=torch.long, device=latents.device)
        maps, tokens = reference.condition.maps, reference.condition.positive
        self.network(latents, t, maps, tokens, call)
        places = token_places(maps, self.network.layers)
        return RememberedReference(call.states, 1, 1, places)

    def predict_noise(
        self,
        latents: Float[Tensor, "b c hl wl"],
        t: Integer[Tensor, "s"],
        condition: Condition,
        *,
        guidance_scale: float,
        reference: Reference | CachedReference | None = None,
        regions: RegionMaps | None = None,
    ) -> Float[Tensor, "b c hl wl"]:
        """See :meth:`backend.guidance.prior.DiffusionPrior.predict_noise`.

        Raises:
            HumanRefError: ``reference_noise_unsupported`` for a reference that is not clean.
        """
        maps = condition.maps
        if maps is None or maps.shape[1] != MAP_CHANNELS:
            raise ValueError("the condition was not made by this prior")
        b = latents.shape[0]
        maps, tokens = maps.expand(b, -1, -1, -1), condition.positive.expand(b, -1, -1)
        steps, alpha_bar = t.expand(b), self.alphas_cumprod[t.expand(b)]
        nobody = torch.ones(b, dtype=torch.bool, device=latents.device)
        if reference is None:
            clean = self.network(latents, steps, without_warp(maps, nobody), tokens, None)
            return noise_from_prediction(clean, latents, alpha_bar, self.prediction_type)
        memory = self._memory(reference)
        branches = 1 if guidance_scale == 1.0 else 2
        alone = torch.cat([nobody, ~nobody][-branches:])
        rows = without_warp(maps.repeat(branches, 1, 1, 1), alone)
        call = PlacedCall(
            rows=torch.zeros(len(alone), dtype=torch.long, device=latents.device),
            memory=memory.states,
            factors=self._factors(regions, latents, branches),
            targets=token_places(rows, self.network.layers),
            references=memory.places,
            alone=alone,
        )
        found = self.network(
            latents.repeat(branches, 1, 1, 1),
            steps.repeat(branches),
            rows,
            tokens.repeat(branches, 1, 1),
            call,
        )
        sides = found.chunk(branches)
        clean = classifier_free_guidance(sides[0], sides[-1], guidance_scale).clamp(-1.0, 1.0)
        return noise_from_prediction(clean, latents, alpha_bar, self.prediction_type)

    def _memory(self, reference: Reference | CachedReference) -> RememberedReference:
        if isinstance(reference, RememberedReference):
            return reference
        if isinstance(reference, Reference) and reference.noise is None:
            return self.remember(reference)
        raise HumanRefError(
            "reference_noise_unsupported",
            "The compact prior was trained beside clean photos.",
            "Use the reference noise 'clean'.",
        )

    def _factors(self, regions: RegionMaps | None, latents: Tensor, branches: int) -> dict:
        if regions is None:
            return {}
        height, width = latents.shape[-2:]
        sizes = (layer.size(height, width) for layer in self.network.layers)
        return repeat_rows(token_factors(regions, sizes), branches)

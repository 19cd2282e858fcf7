"""One view's noise estimate, with the photo beside it as the chosen method has it (3.3.1, 3.3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Integer
from torch import Generator, Tensor

from backend.guidance.prior import (
    CachedReference,
    Condition,
    DiffusionPrior,
    Prompt,
    Reference,
    RemembersReference,
    View,
)
from backend.guidance.reference_cache import ReferenceCache
from backend.guidance.regions import RegionMaps
from backend.guidance.target_regions import hidden_face


@dataclass(frozen=True)
class SeenView:
    """A view that is denoised."""

    azimuth: float
    elevation: float
    labels: Integer[Tensor, "1 n n"]
    """``Region`` of its pixels, background included."""
    maps: Mapping[str, Float[Tensor, "_ _ _"]] = field(default_factory=dict)
    """What the prior's ``required_maps`` ask for."""


@dataclass(frozen=True)
class PhotoReference:
    """The photo as the prior's reference."""

    latents: Float[Tensor, "1 c h w"]
    """Clean."""
    labels: Integer[Tensor, "m m"]
    """``Region`` of its pixels, background included."""
    face: Bool[Tensor, "m m"]
    maps: Mapping[str, Float[Tensor, "_ _ _"]] = field(default_factory=dict)
    """Of the photo's own view."""


class ReferenceDenoiser:
    """eps_hat of a view: caption, view words and, unless ``photo`` is None, reference attention.

    Args:
        prior: the diffusion model.
        prompt: caption and negative words.
        guidance_scale: of classifier-free guidance.
        photo: the reference; None = text only (plain SDS).
        gamma: of region-aware attention; 1 = no preference for regions (ref-sds-global).
        background_is_region: see :class:`RegionMaps`.
        hide_face: views from behind do not see the reference's face.
        clean_reference: the reference stays clean, at t = 0, for priors that were trained so.

    ``cache``, when set, holds recorded features of the reference; timesteps that it does not hold take
    a fresh pass.
    """

    def __init__(
        self,
        prior: DiffusionPrior,
        prompt: Prompt,
        guidance_scale: float,
        photo: PhotoReference | None,
        *,
        gamma: float = 1.0,
        background_is_region: bool = True,
        hide_face: bool = False,
        clean_reference: bool = False,
    ) -> None:
        self.prior, self.prompt, self.photo = prior, prompt, photo
        self._scale, self._gamma = guidance_scale, gamma
        self._background_is_region, self._hide_face = background_is_region, hide_face
        self._clean_reference = clean_reference
        self.cache: ReferenceCache | None = None
        # The reference is the photo's own view, whatever the target's (the released code gives it the
        # target's words: "back view, no face" for a front picture).
        self._front: Condition | None = None
        self._kept: CachedReference | None = None
        if photo is not None:
            self._front = prior.condition(prompt, [View(0.0, 0.0, photo.maps, reference=True)])
            if clean_reference and isinstance(prior, RemembersReference):
                self._kept = prior.remember(Reference(photo.latents, self._front))

    @torch.no_grad()
    def noise(
        self,
        noisy: Float[Tensor, "1 c h w"],
        t: int,
        view: SeenView,
        noise: Float[Tensor, "1 c h w"],
        generator: Generator,
    ) -> Float[Tensor, "1 c h w"]:
        """The prior's estimate of the noise in ``noisy``, float32.

        Args:
            t: timestep, known to the host.
            noise: what the reference gets where nothing is cached at t (the target's own, as released).
            generator: the host's; draws among the cache's noise samples.
        """
        seen = View(view.azimuth, view.elevation, view.maps)
        condition = self.prior.condition(self.prompt, [seen])
        return self.prior.predict_noise(
            noisy,
            torch.full((1,), t, device=noisy.device),
            condition,
            guidance_scale=self._scale,
            reference=self._reference(t, noise, generator),
            regions=self._regions(view),
        )

    def _reference(
        self, t: int, noise: Tensor, generator: Generator
    ) -> Reference | CachedReference | None:
        if self.photo is None or self._front is None:
            return None
        if self._kept is not None:
            return self._kept
        cache = self.cache
        if cache is not None and cache.plan.t_min <= t <= cache.plan.t_max:
            sample = int(torch.randint(cache.plan.noises, (), generator=generator))
            return cache.look_up([t], [sample])
        beside = None if self._clean_reference else noise
        return Reference(self.photo.latents, self._front, beside)

    def _regions(self, view: SeenView) -> RegionMaps | None:
        if self.photo is None:
            return None
        hidden = hidden_face(self.photo.face, [view.azimuth]) if self._hide_face else None
        if self._gamma == 1.0 and hidden is None:
            return None
        return RegionMaps(
            view.labels, self.photo.labels, self._gamma, self._background_is_region, hidden
        )

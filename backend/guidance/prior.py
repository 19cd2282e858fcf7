"""What Ref-SDS asks of a diffusion model, whatever it is: Stable Diffusion or the compact prior.

Pictures are float sRGB in [0, 1], (b, 3, h, w), row 0 on top. "Latents" are what the model denoises:
a VAE's code, or folded pixels. ``t`` counts training timesteps, 0 = clean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Integer
from torch import Tensor

from backend.guidance.regions import RegionMaps


class PredictionType(StrEnum):
    """What the network's output stands for (diffusers' names)."""

    EPSILON = "epsilon"
    V = "v_prediction"
    X0 = "sample"


@dataclass(frozen=True)
class Prompt:
    """The words of a run; priors without a text encoder ignore them."""

    caption: str
    negative: str = ""


@dataclass(frozen=True)
class View:
    """One rendered view and what its geometry says.

    ``maps`` holds pictures (c, h, w) by name, as many as the prior's ``required_maps`` ask for.
    """

    azimuth: float
    """Degrees; 0 = the photo's view, 180 = back."""
    elevation: float = 0.0
    maps: Mapping[str, Float[Tensor, "_ _ _"]] = field(default_factory=dict)
    reference: bool = False
    """The photo itself, which the other views look at."""


@dataclass(frozen=True)
class Condition:
    """What the U-Net is told of b pictures, made by ``DiffusionPrior.condition``.

    ``negative`` is the other branch of classifier-free guidance. ``maps`` are extra input channels.
    """

    positive: Float[Tensor, "b tokens width"]
    negative: Float[Tensor, "b tokens width"]
    maps: Float[Tensor, "b c h w"] | None = None


@dataclass(frozen=True)
class Reference:
    """The photo as the prior sees it, to be denoised next to the targets (3.3.1).

    Made by ``DiffusionPrior.encode`` and ``condition`` (front view, whatever the target's view is).
    """

    latents: Float[Tensor, "1 c h w"]
    """Clean."""
    condition: Condition
    """One row."""
    noise: Float[Tensor, "r c h w"] | None = None
    """Noise for the reference at the targets' timestep: r = 1 (one row serves all targets; needs one
    common t) or one row a target (usually the target's own noise). None: clean, at t = 0."""


@dataclass(frozen=True)
class CachedReference:
    """Recorded features of the reference (see :mod:`backend.guidance.reference_cache`)."""

    states: Mapping[int, Float[Tensor, "_ _ _"]]
    """By self-attention layer: (branches * r, tokens, channels), the negative branch first."""
    rows: int
    """r: 1 (shared by all targets) or the number of targets."""
    branches: int = 2
    """2 with classifier-free guidance; 1 holds the positive branch alone."""


@runtime_checkable
class DiffusionPrior(Protocol):
    """A diffusion model that guides unseen views."""

    name: str
    licence: str
    resolution: int
    """Side in pixels of the pictures it was trained on; ``encode`` resamples to it."""
    latent_shape: tuple[int, int, int]
    """Channels, rows and columns of one latent."""
    required_maps: tuple[str, ...]
    """Names of the maps that ``condition`` needs of every view; empty for text-only priors."""
    alphas_cumprod: Float[Tensor, "t"]
    """float32, on the prior's device."""
    prediction_type: PredictionType

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hl wl"]:
        """Pictures to float32 latents, differentiable."""

    def decode(self, latents: Float[Tensor, "b c hl wl"]) -> Float[Tensor, "b 3 h w"]:
        """Latents to float32 pictures in [0, 1], differentiable inside that range."""

    def condition(self, prompt: Prompt, views: Sequence[View]) -> Condition:
        """What the network is told of each view."""

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
        """The float32 noise estimate of noisy latents, with classifier-free guidance.

        Args:
            t: one timestep a picture, or one for all, on the latents' device.
            guidance_scale: 1 = no guidance, and only the positive branch is computed.
            reference: adds reference attention in both branches.
            regions: adds region-aware attention; needs a reference.

        Gradients flow where torch records them: Ref-SDS calls it under ``torch.no_grad``.
        """


@runtime_checkable
class RemembersReference(Protocol):
    """A prior whose reference stays clean: its features are computed once for all steps."""

    def remember(self, reference: Reference) -> CachedReference:
        """The features of a reference without noise."""


def add_noise(
    latents: Float[Tensor, "b c h w"],
    noise: Float[Tensor, "b c h w"],
    alpha_bar: Float[Tensor, "s"],
) -> Float[Tensor, "b c h w"]:
    """sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps; ``alpha_bar`` = alphas_cumprod[t], one or b."""
    a = alpha_bar[:, None, None, None]
    return a.sqrt() * latents + (1.0 - a).sqrt() * noise


def noise_from_prediction(
    prediction: Float[Tensor, "b c h w"],
    noisy: Float[Tensor, "b c h w"],
    alpha_bar: Float[Tensor, "s"],
    kind: PredictionType,
) -> Float[Tensor, "b c h w"]:
    """eps from what the network predicts of ``noisy``; linear in the prediction.

    v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0. From x0 it divides by sqrt(1 - alpha_bar):
    near t = 0 that is ill-conditioned, as the noise itself is.
    """
    if kind is PredictionType.EPSILON:
        return prediction
    a = alpha_bar[:, None, None, None]
    signal, sigma = a.sqrt(), (1.0 - a).sqrt()
    if kind is PredictionType.V:
        return signal * prediction + sigma * noisy
    return (noisy - signal * prediction) / sigma


def clean_from_noise(
    eps: Float[Tensor, "b c h w"],
    noisy: Float[Tensor, "b c h w"],
    alpha_bar: Float[Tensor, "s"],
) -> Float[Tensor, "b c h w"]:
    """The one-step estimate of the clean latents: (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)."""
    a = alpha_bar[:, None, None, None]
    return (noisy - (1.0 - a).sqrt() * eps) / a.sqrt()


def classifier_free_guidance(
    negative: Float[Tensor, "b c h w"], positive: Float[Tensor, "b c h w"], scale: float
) -> Float[Tensor, "b c h w"]:
    """negative + scale * (positive - negative)."""
    return negative + scale * (positive - negative)

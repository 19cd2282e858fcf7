"""Stable Diffusion 1.x as a prior: the paper's own choice (3.4, version 1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from backend.events import OnEvent, Warned, ignore_events
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
from backend.guidance.prompts import prompt_tokens, view_words
from backend.guidance.reference_attention import install_reference_attention
from backend.guidance.regions import RegionMaps
from backend.guidance.stable_diffusion_files import DEFAULT_REPO, find_folder, read_licence
from backend.guidance.stable_diffusion_loading import StableDiffusionParts, load_parts
from backend.guidance.unet_pass import ReferenceUNet


class StableDiffusionPrior:
    """See :class:`backend.guidance.prior.DiffusionPrior`; made by :meth:`load`.

    Args:
        parts: networks on their device.
        name: for people: hub id or folder.
        licence: of the weights.
        compiled: whether the U-Net runs through ``torch.compile`` (first passes take minutes).
        on_event: told of captions that are too long.
    """

    required_maps: tuple[str, ...] = ()

    def __init__(
        self,
        parts: StableDiffusionParts,
        name: str,
        licence: str,
        *,
        compiled: bool = False,
        on_event: OnEvent = ignore_events,
    ) -> None:
        self.name = name
        self.licence = licence
        self.parts = parts
        self.prediction_type: PredictionType = parts.prediction_type
        self.alphas_cumprod: Tensor = parts.alphas_cumprod
        side = int(parts.unet.config.sample_size)
        folds = len(parts.vae.config.block_out_channels) - 1
        self.resolution = side * 2**folds
        self.latent_shape = (int(parts.unet.config.in_channels), side, side)
        self.unet = ReferenceUNet(
            forward=torch.compile(parts.unet) if compiled else parts.unet,
            layers=install_reference_attention(parts.unet),
            dtype=parts.unet.dtype,
            alphas_cumprod=self.alphas_cumprod,
        )
        self._on_event = on_event
        self._embeddings: dict[str, Tensor] = {}
        self._told: set[str] = set()

    @staticmethod
    def load(
        source: str | Path = DEFAULT_REPO,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        compiled: bool = False,
        on_event: OnEvent = ignore_events,
    ) -> StableDiffusionPrior:
        """Load a diffusers folder or a hub id that is already on this machine; never downloads.

        Args:
            source: folder or hub id of Stable Diffusion 1.x (2.x works too), safetensors only.
            device: of the networks.
            dtype: of the U-Net; None = float32 on a CPU, bfloat16 on a GPU that has it, else float16.
                The VAE stays float32 beside a float16 U-Net: its gradients underflow.
            revision: commit hash of a hub id.

        Raises:
            HumanRefError: ``missing_package``, ``weights_missing``, ``weights_incomplete``,
                ``weights_unreadable``, ``weights_not_finite``, ``wrong_architecture``,
                ``pickle_refused``, ``not_a_folder``, ``revision_unpinned``.
        """
        folder = find_folder(str(source), revision)
        place = torch.device(device)
        parts = load_parts(folder, place, dtype or default_dtype(place))
        return StableDiffusionPrior(
            parts, str(source), read_licence(folder), compiled=compiled, on_event=on_event
        )

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c hl wl"]:
        """Pictures to scaled latents: the mean of the VAE's posterior, so gradients carry no noise."""
        size = (self.resolution, self.resolution)
        if images.shape[-2:] != size:
            shrinks = images.shape[-1] > size[1] or images.shape[-2] > size[0]
            images = functional.interpolate(images, size, mode="bilinear", antialias=shrinks)
        vae = self.parts.vae
        posterior = vae.encode((images * 2.0 - 1.0).to(vae.dtype)).latent_dist
        return posterior.mean.float() * vae.config.scaling_factor

    def decode(self, latents: Float[Tensor, "b c hl wl"]) -> Float[Tensor, "b 3 h w"]:
        """Latents to pictures of ``resolution``, clipped to [0, 1]."""
        vae = self.parts.vae
        decoded = vae.decode((latents / vae.config.scaling_factor).to(vae.dtype)).sample
        return (decoded.float() * 0.5 + 0.5).clamp(0.0, 1.0)

    def condition(self, prompt: Prompt, views: Sequence[View]) -> Condition:
        """The caption and its view ("..., back view"); one that is too long is cut, with a warning."""
        positive = [self._embed(prompt.caption, view_words(view.azimuth)) for view in views]
        negative = self._embed(prompt.negative, "")
        return Condition(torch.cat(positive), negative.expand(len(views), -1, -1))

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
        """See :meth:`backend.guidance.prior.DiffusionPrior.predict_noise`."""
        branches = 1 if guidance_scale == 1.0 else 2
        output = self.unet.predict(latents, t, condition, branches, reference, regions)
        sides = output.chunk(branches)
        guided = classifier_free_guidance(sides[0], sides[-1], guidance_scale)
        return noise_from_prediction(
            guided, latents.float(), self.alphas_cumprod[t], self.prediction_type
        )

    @torch.no_grad()
    def _embed(self, text: str, suffix: str) -> Float[Tensor, "1 tokens width"]:
        key = f"{text}\n{suffix}"
        if key not in self._embeddings:
            encoder = self.parts.text_encoder
            length = int(encoder.config.max_position_embeddings)
            tokens = prompt_tokens(self.parts.tokenizer, text, suffix, length)
            if tokens.dropped and text not in self._told:
                self._told.add(text)
                self._on_event(
                    Warned(
                        "caption_cut",
                        f"The caption is longer than {self.name} reads: its last {tokens.dropped} "
                        f"tokens are left out.",
                    )
                )
            ids = torch.tensor([tokens.ids], device=encoder.device)
            self._embeddings[key] = encoder(ids)[0]
        return self._embeddings[key]


def default_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU (half precision is slower there), bfloat16 on GPUs that have it, else float16."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16

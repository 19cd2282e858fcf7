"""Multi-step denoising of renders (3.3.3): noised a little, denoised by UniPC, kept in a view bank."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from backend.errors import HumanRefError
from backend.guidance.denoiser import ReferenceDenoiser, SeenView
from backend.guidance.prior import DiffusionPrior, add_noise
from backend.guidance.protocol import Draws


class UniPCRefinement:
    """A better picture of a view, from the same region-aware reference-guided U-Net.

    Args:
        denoiser: with the reference; its prior encodes and decodes.
        steps: of a whole denoising.
        last: how many of them are run, from the render noised to where they begin (30 and 6 are
            image-to-image of strength 0.2).

    Raises:
        HumanRefError: ``refinement_invalid``.
    """

    def __init__(self, denoiser: ReferenceDenoiser, steps: int, last: int) -> None:
        if not 1 <= last <= steps:
            raise HumanRefError(
                "refinement_invalid",
                f"The last {last} of {steps} denoising steps cannot be run.",
                "Use 1 <= refine_last <= refine_steps.",
            )
        self.denoiser, self._steps, self._last = denoiser, steps, last
        self._betas = _betas(denoiser.prior.alphas_cumprod)

    @property
    def prior(self) -> DiffusionPrior:
        """The diffusion model."""
        return self.denoiser.prior

    @torch.no_grad()
    def refine(
        self, picture: Float[Tensor, "1 3 n n"], view: SeenView, draws: Draws
    ) -> Float[Tensor, "1 3 m m"]:
        """The refined picture at the prior's own resolution, sRGB in [0, 1].

        Where half precision overflowed the render stays as it is.
        """
        clean = self.prior.encode(picture)
        noise = torch.randn(clean.shape, generator=draws.device, device=clean.device)
        refined = self.prior.decode(self.denoise(clean, noise, view, draws))
        size = (refined.shape[-2], refined.shape[-1])
        plain = functional.interpolate(picture, size, mode="bilinear", align_corners=False)
        return torch.where(torch.isfinite(refined), refined, plain)

    @torch.no_grad()
    def denoise(
        self,
        clean: Float[Tensor, "1 c h w"],
        noise: Float[Tensor, "1 c h w"],
        view: SeenView,
        draws: Draws,
    ) -> Float[Tensor, "1 c h w"]:
        """Latents noised with ``noise`` to the first of the last steps and brought back."""
        scheduler = _unipc(self._betas, self._steps)
        timesteps: list[int] = scheduler.timesteps.tolist()[-self._last :]
        scheduler.set_begin_index(self._steps - self._last)
        start = timesteps[0]
        latents = add_noise(clean, noise, self.prior.alphas_cumprod[start : start + 1])
        for t in timesteps:
            eps = self.denoiser.noise(latents, t, view, noise, draws.host)
            latents = scheduler.step(eps, t, latents, return_dict=False)[0]
        return latents


class ViewBank:
    """Refined pictures of a fixed set of views, each made anew when it is ``refresh`` steps old.

    Refining a fresh picture in every step, as released, costs eight times as much. Kept as bytes,
    also while running: a resumed run then sees the same numbers.
    """

    def __init__(self, views: int, refresh: int) -> None:
        self._refresh = refresh
        self._pictures: list[Tensor | None] = [None] * views
        self._made = [0] * views

    def get(self, index: int, step: int) -> Float[Tensor, "1 c n n"] | None:
        """The picture of a view, or None where it is missing or too old."""
        kept = self._pictures[index]
        if kept is None or step - self._made[index] >= self._refresh:
            return None
        return kept.float() / 255.0

    def newest(self, index: int) -> Float[Tensor, "1 c n n"] | None:
        """The picture of a view, however old; None where it was never made."""
        kept = self._pictures[index]
        return None if kept is None else kept.float() / 255.0

    def put(self, index: int, step: int, picture: Float[Tensor, "1 c n n"]) -> None:
        """Keep a picture that was made at ``step``; channels in [0, 1]."""
        self._pictures[index] = (picture.detach().clamp(0, 1) * 255.0).round().to(torch.uint8)
        self._made[index] = step

    def state_dict(self) -> dict[str, Any]:
        """Pictures as bytes by view, and when they were made."""
        kept = {str(k): picture for k, picture in enumerate(self._pictures) if picture is not None}
        return {"pictures": kept, "made": list(self._made)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Continue from :meth:`state_dict`."""
        for key, picture in state["pictures"].items():
            self._pictures[int(key)] = picture.to(device)
        self._made = list(state["made"])


def _betas(alphas_cumprod: Float[Tensor, "t"]) -> list[float]:
    """The noise schedule that has these products."""
    alphas = alphas_cumprod.double().cpu()
    before = torch.cat([alphas.new_ones(1), alphas[:-1]])
    betas: list[float] = (1.0 - alphas / before).tolist()
    return betas


def _unipc(betas: list[float], steps: int) -> Any:
    """diffusers' UniPC over the prior's own noise schedule, for predictions of the noise."""
    from diffusers import UniPCMultistepScheduler

    scheduler: Any = UniPCMultistepScheduler(
        num_train_timesteps=len(betas),
        trained_betas=betas,
        prediction_type="epsilon",
    )
    scheduler.set_timesteps(steps)
    return scheduler

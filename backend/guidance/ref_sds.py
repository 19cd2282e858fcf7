"""Score distillation (3.3.1): the residual that a prior sends back to a rendered picture.

grad = w(t) (eps_hat(z_t; t, caption, view, reference) - eps), w(t) = 1 - alphas_cumprod[t], pushed
through the Jacobian of the prior's encoder; the U-Net's own Jacobian is left out (DreamFusion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.guidance.denoiser import ReferenceDenoiser, SeenView
from backend.guidance.prior import DiffusionPrior, add_noise
from backend.guidance.protocol import Draws


@dataclass(frozen=True)
class TimestepRange:
    """t ~ U[t_min, upper(progress)], both inclusive; upper falls linearly from ``t_max`` to its end.

    The paper says nothing of t; released: U[200, 600] without annealing, which is ``t_max_end`` = 600.
    Late in a run only small timesteps, which change detail, are worth their noise.

    Raises:
        HumanRefError: ``timesteps_invalid``.
    """

    t_min: int
    t_max: int
    t_max_end: int

    def __post_init__(self) -> None:
        if not 0 < self.t_min <= self.t_max_end <= self.t_max:
            raise HumanRefError(
                "timesteps_invalid",
                f"Timesteps {self.t_min}..{self.t_max} that end at {self.t_max_end} make no range.",
                "Use 0 < t_min <= t_max_end <= t_max.",
            )

    def upper(self, progress: float) -> int:
        """Largest timestep at this share of the run."""
        share = min(1.0, max(0.0, progress))
        return round(self.t_max + (self.t_max_end - self.t_max) * share)

    def draw(self, progress: float, generator: torch.Generator) -> int:
        """One timestep, drawn on the host: the loop then never waits to learn it."""
        upper = self.upper(progress)
        return int(torch.randint(self.t_min, upper + 1, (), generator=generator))


def distillation_loss(
    latents: Float[Tensor, "1 c h w"], gradient: Float[Tensor, "1 c h w"]
) -> Float[Tensor, ""]:
    """A number whose gradient with respect to ``latents`` is exactly ``gradient``; 1/2 |gradient|^2.

    The value is that of the usual 1/2 |z - stop(z - gradient)|^2, without its rounding.
    """
    fixed = gradient.detach()
    return 0.5 * fixed.square().sum() + (fixed * (latents - latents.detach())).sum()


@runtime_checkable
class Residual(Protocol):
    """What a method of distillation answers to a noised view: SDS, Ref-SDS or VSD."""

    description: str

    def residual(
        self,
        noisy: Float[Tensor, "1 c h w"],
        noise: Float[Tensor, "1 c h w"],
        t: int,
        view: SeenView,
        draws: Draws,
    ) -> Float[Tensor, "1 c h w"]:
        """eps_hat - eps of SDS, or the method's own difference; no gradient."""

    def learn(self, latents: Float[Tensor, "1 c h w"], view: SeenView, draws: Draws) -> None:
        """Called once a step after :meth:`residual`, for methods that learn beside the field."""

    def state_dict(self) -> dict[str, Any]:
        """What was learned."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""


class NoiseResidual:
    """eps_hat - eps (SDS and Ref-SDS: they differ in the denoiser's reference)."""

    def __init__(self, denoiser: ReferenceDenoiser, description: str) -> None:
        self.denoiser, self.description = denoiser, description

    def residual(
        self,
        noisy: Float[Tensor, "1 c h w"],
        noise: Float[Tensor, "1 c h w"],
        t: int,
        view: SeenView,
        draws: Draws,
    ) -> Float[Tensor, "1 c h w"]:
        """The noise that the prior sees beyond the noise that was added."""
        return self.denoiser.noise(noisy, t, view, noise, draws.host) - noise

    def learn(self, latents: Float[Tensor, "1 c h w"], view: SeenView, draws: Draws) -> None:
        """Nothing is learned."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to continue from."""


class ScoreDistillation:
    """The distillation loss of one picture a step.

    Args:
        prior: encodes the picture; its alphas weigh the timesteps.
        method: what it answers.
        timesteps: what t is drawn from.
        strength: multiplies the gradient.
    """

    def __init__(
        self,
        prior: DiffusionPrior,
        method: Residual,
        timesteps: TimestepRange,
        strength: float = 1.0,
    ) -> None:
        if timesteps.t_max >= len(prior.alphas_cumprod):
            raise HumanRefError(
                "timesteps_invalid",
                f"{prior.name} has {len(prior.alphas_cumprod)} timesteps, t_max is {timesteps.t_max}.",
                "Lower t_max.",
            )
        self._prior, self.method, self._timesteps = prior, method, timesteps
        self._strength = strength

    def loss(
        self, picture: Float[Tensor, "1 3 n n"], view: SeenView, progress: float, draws: Draws
    ) -> Float[Tensor, ""]:
        """1/2 |s w(t)(eps_hat - eps)|^2, summed over the latent; its gradient reaches the picture.

        Args:
            picture: rendered sRGB over any background, with gradients.
            progress: share of the run that is done.
        """
        latents = self._prior.encode(picture)
        t = self._timesteps.draw(progress, draws.host)
        clean = latents.detach()
        noise = torch.randn(clean.shape, generator=draws.device, device=clean.device)
        alpha_bar = self._prior.alphas_cumprod[t : t + 1]
        noisy = add_noise(clean, noise, alpha_bar)
        difference = self.method.residual(noisy, noise, t, view, draws)
        self.method.learn(clean, view, draws)
        weight = self._strength * (1.0 - alpha_bar)[:, None, None, None]
        return distillation_loss(latents, weight * difference)

"""Variational score distillation, one of the paper's comparisons (ProlificDreamer, the paper's [53]).

The residual is eps_hat(prior) - eps_hat(LoRA): the second is the same U-Net with a low-rank addition
that learns, beside the field, what the renders look like from where the camera stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backend.guidance.denoiser import ReferenceDenoiser, SeenView
from backend.guidance.prior import Condition, Prompt, View, add_noise, noise_from_prediction
from backend.guidance.protocol import Draws
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.perception.hub import require

_ADAPTER = "renders"
_TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


class CameraEmbedding(nn.Module):
    """Where the camera stands, as a vector that is added to every text token; zero at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, width))
        last = self.layers[2]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, azimuth: float, elevation: float) -> Float[Tensor, "1 1 width"]:
        """Angles in degrees."""
        a, e = math.radians(azimuth), math.radians(elevation)
        place = next(self.parameters()).device
        # Numbers go to the device as arguments of kernels: a list would have to be copied.
        parts = [
            torch.full((1,), x, device=place)
            for x in (math.sin(a), math.cos(a), math.sin(e), math.cos(e))
        ]
        embedded: Tensor = self.layers(torch.cat(parts))
        return embedded[None, None]


class VariationalResidual:
    """See :class:`backend.guidance.ref_sds.Residual`.

    Args:
        prior: its U-Net gets a LoRA (peft) that is active only in here.
        prompt: caption and negative words.
        guidance_scale: of the prior's own estimate; the LoRA's has none.
        rank: of the LoRA.
        learning_rate: of its AdamW, and of the camera embedding's.
        seed: of its start, which changes nothing of the U-Net.

    Raises:
        HumanRefError: ``missing_package``.
    """

    description = "VSD"

    def __init__(
        self,
        prior: StableDiffusionPrior,
        prompt: Prompt,
        *,
        guidance_scale: float,
        rank: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        require("vsd", "peft")
        from peft import LoraConfig

        self._prior, self._prompt = prior, prompt
        self._denoiser = ReferenceDenoiser(prior, prompt, guidance_scale, None)
        unet = prior.parts.unet
        if _ADAPTER in getattr(unet, "peft_config", {}):
            unet.delete_adapters(_ADAPTER)
        width = int(prior.condition(prompt, [View(0.0)]).positive.shape[-1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            config = LoraConfig(r=rank, lora_alpha=rank, target_modules=_TARGETS)
            unet.add_adapter(config, adapter_name=_ADAPTER)
            self._camera = CameraEmbedding(width).to(unet.device)
        self._lora = {name: p for name, p in unet.named_parameters() if f".{_ADAPTER}." in name}
        unet.disable_adapters()
        self._optimizer = torch.optim.AdamW(
            [*self._lora.values(), *self._camera.parameters()], lr=learning_rate
        )

    @torch.no_grad()
    def residual(
        self,
        noisy: Float[Tensor, "1 c h w"],
        noise: Float[Tensor, "1 c h w"],
        t: int,
        view: SeenView,
        draws: Draws,
    ) -> Float[Tensor, "1 c h w"]:
        """What the prior would have beyond what the renders already are."""
        wanted = self._denoiser.noise(noisy, t, view, noise, draws.host)
        return wanted - self._of_renders(noisy, t, view)

    def learn(self, latents: Float[Tensor, "1 c h w"], view: SeenView, draws: Draws) -> None:
        """One step of the LoRA's own denoising loss on the render, at any timestep."""
        steps = len(self._prior.alphas_cumprod)
        t = int(torch.randint(1, steps, (), generator=draws.host))
        noise = torch.randn(latents.shape, generator=draws.device, device=latents.device)
        noisy = add_noise(latents, noise, self._prior.alphas_cumprod[t : t + 1])
        with torch.enable_grad():
            loss = (self._of_renders(noisy, t, view) - noise).square().mean()
            self._optimizer.zero_grad()
            loss.backward()
        for parameter in (*self._lora.values(), *self._camera.parameters()):
            if parameter.grad is not None:
                # Half precision overflowed: nothing is learned from that.
                parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
        self._optimizer.step()

    def _of_renders(self, noisy: Tensor, t: int, view: SeenView) -> Tensor:
        """The LoRA's estimate of the noise, with the camera among the words."""
        words: Condition = self._prior.condition(self._prompt, [View(view.azimuth, view.elevation)])
        camera = self._camera(view.azimuth, view.elevation)
        told = replace(words, positive=words.positive + camera.to(words.positive.dtype))
        when = torch.full((1,), t, device=noisy.device)
        with self._active():
            output = self._prior.unet.predict(noisy, when, told, 1)
        alpha_bar = self._prior.alphas_cumprod[t : t + 1]
        return noise_from_prediction(output, noisy, alpha_bar, self._prior.prediction_type)

    @contextmanager
    def _active(self) -> Iterator[None]:
        unet = self._prior.parts.unet
        unet.enable_adapters()
        try:
            yield
        finally:
            unet.disable_adapters()

    def state_dict(self) -> dict[str, Any]:
        """LoRA, camera embedding and their optimiser."""
        return {
            "lora": {name: p.detach() for name, p in self._lora.items()},
            "camera": self._camera.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            KeyError, RuntimeError: it is of another U-Net.
        """
        for name, parameter in self._lora.items():
            parameter.copy_(state["lora"][name])
        self._camera.load_state_dict(state["camera"])
        self._optimizer.load_state_dict(state["optimizer"])

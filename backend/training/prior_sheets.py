"""What a prior in training can do, on people it never saw: pictures to look at, and numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from backend.files import write_whole
from backend.guidance.compact_network import (
    CompactNetwork,
    carried_colors,
    unfold,
    without_warp,
)
from backend.guidance.prior import add_noise, classifier_free_guidance
from backend.training.prior_batches import PriorBatch, exact_batch
from backend.training.prior_pass import beside
from backend.training.prior_store import PackedPerson

# Of the sixteen: 90, 135, 180 and 270 degrees.
_VIEWS = (4, 6, 8, 12)
_BACK = slice(1, 3)
_PEOPLE, _SHEET_PEOPLE = 8, 6
_ONE_STEP = (250, 500, 750)
_SHOWN_STEP = 500


class Validation:
    """Measures a network on people in unseen outfits, hair and fabrics, seen from 90, 135, 180, 270 degrees.

    Args:
        people: validation people; the first 8 are measured, 6 are shown.
        folder: where the sheets go.
    """

    def __init__(self, people: Sequence[PackedPerson], folder: Path) -> None:
        self.people, self._folder = tuple(people[:_PEOPLE]), folder

    @torch.no_grad()
    def measure(self, network: CompactNetwork, reference: bool = True) -> dict[str, float]:
        """PSNR inside the true silhouette (dB), means over people and views; ``_back``: 135 and 180 degrees.

        ``denoise_T``: one step from that timestep of the true picture. ``sample``: ten DDIM steps from
        noise, guidance 1.5. To compare, ``carried``: the photo's colours by their places on the body, and
        ``mirror_back``: the photo turned around.

        Args:
            reference: False keeps the photo from the network.
        """
        found: dict[str, list[float]] = {}
        for number, person in enumerate(self.people):
            batch = _on(exact_batch(person, _VIEWS), network)
            clean = unfold(batch.clean)
            coverage = torch.from_numpy(person.views(_VIEWS).color[:, None, :, :, 3])
            shown = coverage.to(clean.device) > 0.5
            noise = _noise(batch, number)
            guesses = {"sample": sample(network, batch, noise, reference=reference)}
            for t in _ONE_STEP:
                noisy = add_noise(batch.clean, noise, network.alphas_cumprod[t : t + 1])
                guesses[f"denoise_{t}"] = predict(network, batch, noisy, t, reference)
            guesses["carried"] = carried_colors(batch.maps)
            for name, guess in guesses.items():
                each = psnr(unfold(guess), clean, shown)
                found.setdefault(name, []).append(float(each.mean()))
                found.setdefault(f"{name}_back", []).append(float(each[_BACK].mean()))
            turned = unfold(batch.photo).flip(-1).expand_as(clean)
            mirror = psnr(turned, clean, shown)[_BACK]
            found.setdefault("mirror_back", []).append(float(mirror.mean()))
        return {name: round(float(np.mean(values)), 3) for name, values in found.items()}

    @torch.no_grad()
    def draw(self, network: CompactNetwork, name: str) -> None:
        """A row a person: the photo; from four sides carried colours, ten-step sample, one step from the
        truth at t = 500, truth.

        Raises:
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
        """
        rows = []
        for number, person in enumerate(self.people[:_SHEET_PEOPLE]):
            batch = _on(exact_batch(person, _VIEWS), network)
            noise = _noise(batch, number)
            alpha_bar = network.alphas_cumprod[_SHOWN_STEP:][:1]
            noisy = add_noise(batch.clean, noise, alpha_bar)
            sides = (
                carried_colors(batch.maps),
                sample(network, batch, noise),
                predict(network, batch, noisy, _SHOWN_STEP),
                batch.clean,
            )
            across = torch.stack([unfold(each) for each in sides], 1).flatten(0, 1)
            rows.append(torch.cat([unfold(batch.photo)[0], *across], -1))
        whole = torch.cat(rows, -2).permute(1, 2, 0).cpu().numpy() * 0.5 + 0.5
        buffer = io.BytesIO()
        Image.fromarray((whole.clip(0, 1) * 255).round().astype(np.uint8)).save(buffer, "PNG")
        write_whole(self._folder / name, buffer.getvalue())


def psnr(
    picture: Float[Tensor, "v 3 n n"],
    truth: Float[Tensor, "v 3 n n"],
    shown: Bool[Tensor, "v 1 n n"],
) -> Float[Tensor, "v"]:
    """Of each view over the ``shown`` pixels, in dB; colours in [-1, 1]. At most 60."""
    squares = ((picture - truth) / 2.0).square().mean(1, keepdim=True) * shown
    mean = squares.sum((1, 2, 3)) / shown.sum((1, 2, 3)).clamp_min(1)
    return -10.0 * mean.clamp_min(1e-6).log10()


def predict(
    network: CompactNetwork,
    batch: PriorBatch,
    noisy: Float[Tensor, "b c h w"],
    t: int,
    reference: bool = True,
    guidance_scale: float = 1.0,
) -> Float[Tensor, "b c h w"]:
    """The clean pictures of a batch's targets from their noisy ones, all at one timestep ``t``.

    Guidance other than 1 needs the photo; without it (``reference`` False) there is but one branch.
    """
    nobody = torch.zeros(len(noisy), dtype=torch.bool, device=noisy.device)
    steps = torch.full((len(noisy),), t, device=noisy.device)
    sides = []
    for alone in [~nobody, nobody] if guidance_scale != 1.0 else [nobody if reference else ~nobody]:
        maps = without_warp(batch.maps, alone)
        sides.append(beside(network, batch, noisy, steps, maps, alone))
    return classifier_free_guidance(sides[0], sides[-1], guidance_scale)


def sample(
    network: CompactNetwork,
    batch: PriorBatch,
    noise: Float[Tensor, "b c h w"],
    steps: int = 10,
    guidance_scale: float = 1.5,
    reference: bool = True,
) -> Float[Tensor, "b c h w"]:
    """DDIM from pure noise."""
    times = np.linspace(len(network.alphas_cumprod) - 1, 0, steps + 1).round().astype(int)
    noisy = noise
    clean = noise
    scale = guidance_scale if reference else 1.0
    for t, after in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
        a, b = network.alphas_cumprod[t], network.alphas_cumprod[after]
        clean = predict(network, batch, noisy, t, reference, scale).clamp(-1, 1)
        eps = (noisy - a.sqrt() * clean) / (1 - a).sqrt()
        noisy = b.sqrt() * clean + (1 - b).sqrt() * eps
    return clean


def _noise(batch: PriorBatch, seed: int) -> Float[Tensor, "b c h w"]:
    noise = torch.randn(batch.clean.shape, generator=torch.Generator().manual_seed(seed))
    return noise.to(batch.clean.device)


def _on(batch: PriorBatch, network: CompactNetwork) -> PriorBatch:
    """The batch where the network is."""
    device = network.alphas_cumprod.device
    return PriorBatch(**{f.name: getattr(batch, f.name).to(device) for f in fields(batch)})

"""A distillation step on the "meta" device: nothing in it makes the host wait for a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from host_traffic import HostTraffic, NumbersFromHost

from backend.guidance.denoiser import PhotoReference, ReferenceDenoiser, SeenView
from backend.guidance.prior import Prompt, Reference, View
from backend.guidance.protocol import Draws
from backend.guidance.ref_sds import NoiseResidual, ScoreDistillation, TimestepRange
from backend.guidance.reference_cache import CachePlan, ReferenceCache
from backend.guidance.stable_diffusion import StableDiffusionPrior
from backend.guidance.tiny_stable_diffusion import make_tiny_stable_diffusion


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> StableDiffusionPrior:
    """A tiny prior whose networks are on "meta"."""
    folder = make_tiny_stable_diffusion(tmp_path_factory.mktemp("sd") / "tiny", latent_size=8)
    parts = StableDiffusionPrior.load(folder).parts
    moved = replace(
        parts,
        unet=parts.unet.to("meta"),
        vae=parts.vae.to("meta"),
        text_encoder=parts.text_encoder.to("meta"),
        alphas_cumprod=parts.alphas_cumprod.to("meta"),
    )
    return StableDiffusionPrior(moved, "tiny", "none")


@pytest.mark.parametrize("cached", [True, False])
def test_a_distillation_step_only_sends_work(prior: StableDiffusionPrior, cached: bool) -> None:
    side = prior.resolution
    labels = torch.zeros(1, side, side, dtype=torch.uint8, device="meta")
    face = torch.zeros(side, side, dtype=torch.bool, device="meta")
    photo = PhotoReference(torch.randn(1, *prior.latent_shape, device="meta"), labels[0], face)
    prompt = Prompt("a person")
    denoiser = ReferenceDenoiser(prior, prompt, 7.5, photo, gamma=0.3, hide_face=True)
    # Words are encoded once a run, for each of the three view words.
    words = prior.condition(prompt, [View(a) for a in (0.0, 90.0, 180.0)])
    assert words.positive.shape[0] == 3
    if cached:
        row = Reference(photo.latents, prior.condition(prompt, [View(0.0)]))
        denoiser.cache = ReferenceCache.build(prior.unet, row, CachePlan(200, 600, 200))
    method = NoiseResidual(denoiser, "Ref-SDS")
    distillation = ScoreDistillation(prior, method, TimestepRange(200, 600, 600))
    picture = torch.rand(1, 3, 32, 32, device="meta", requires_grad=True)
    draws = Draws(*(torch.Generator().manual_seed(seed) for seed in (0, 1)))
    with NumbersFromHost(), HostTraffic():
        for azimuth in (60.0, 180.0):
            loss = distillation.loss(picture, SeenView(azimuth, 5.0, labels), 0.5, draws)
            loss.backward()
    assert picture.grad is not None
    assert picture.grad.shape == picture.shape

"""Refinement against diffusers' own image-to-image pipeline, and the bank that keeps its pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator

from backend.errors import HumanRefError
from backend.guidance.denoiser import ReferenceDenoiser, SeenView
from backend.guidance.prior import Prompt
from backend.guidance.protocol import Draws
from backend.guidance.refinement import UniPCRefinement, ViewBank
from backend.guidance.stable_diffusion import StableDiffusionPrior

VIEW = SeenView(180.0, 0.0, torch.zeros(1, 16, 16, dtype=torch.uint8))


def _draws() -> Draws:
    generator = Generator().manual_seed(0)
    return Draws(generator, generator)


def test_the_last_steps_are_those_of_diffusers_image_to_image(
    tiny_prior: StableDiffusionPrior, tiny_folder: Path
) -> None:
    from diffusers import StableDiffusionImg2ImgPipeline, UniPCMultistepScheduler

    pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(
        str(tiny_folder), safety_checker=None, feature_extractor=None
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = UniPCMultistepScheduler.from_config(pipeline.scheduler.config)
    # Ours spaces timesteps as the scheduler's own default does.
    pipeline.scheduler.register_to_config(steps_offset=0, timestep_spacing="linspace")
    clean = torch.randn(1, 4, 16, 16, generator=Generator().manual_seed(1))
    wanted = pipeline(
        "a person, back view",
        image=clean,
        strength=0.2,
        num_inference_steps=30,
        guidance_scale=7.5,
        generator=Generator().manual_seed(7),
        output_type="latent",
    ).images
    noise = torch.randn(clean.shape, generator=Generator().manual_seed(7))
    denoiser = ReferenceDenoiser(tiny_prior, Prompt("a person"), 7.5, None)
    found = UniPCRefinement(denoiser, 30, 6).denoise(clean, noise, VIEW, _draws())
    assert float((wanted - clean).abs().mean()) > 0.01
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_a_picture_comes_back_at_the_priors_size(tiny_prior: StableDiffusionPrior) -> None:
    denoiser = ReferenceDenoiser(tiny_prior, Prompt("a person"), 7.5, None)
    refinement = UniPCRefinement(denoiser, 10, 2)
    picture = refinement.refine(torch.rand(1, 3, 64, 64), VIEW, _draws())
    assert picture.shape == (1, 3, 128, 128)
    assert float(picture.min()) >= 0.0
    assert float(picture.max()) <= 1.0


@pytest.mark.parametrize(("steps", "last"), [(30, 0), (5, 6)])
def test_impossible_steps_are_refused(
    tiny_prior: StableDiffusionPrior, steps: int, last: int
) -> None:
    denoiser = ReferenceDenoiser(tiny_prior, Prompt(""), 1.0, None)
    with pytest.raises(HumanRefError) as error:
        UniPCRefinement(denoiser, steps, last)
    assert error.value.code == "refinement_invalid"


def test_the_bank_forgets_old_pictures_and_survives_a_checkpoint() -> None:
    bank = ViewBank(3, refresh=200)
    assert bank.get(1, 0) is None
    picture = torch.rand(1, 3, 8, 8)
    bank.put(1, 100, picture)
    kept = bank.get(1, 299)
    assert kept is not None
    assert float((kept - picture).abs().max()) <= 0.5 / 255 + 1e-6
    assert bank.get(1, 300) is None
    assert bank.get(0, 100) is None
    again = ViewBank(3, refresh=200)
    again.load_state_dict(bank.state_dict(), torch.device("cpu"))
    restored = again.get(1, 299)
    assert restored is not None
    assert torch.equal(restored, kept)
    assert again.get(1, 300) is None

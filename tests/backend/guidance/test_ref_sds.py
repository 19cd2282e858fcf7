"""Score distillation against its definition, and how the three methods differ."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.guidance.denoiser import PhotoReference, ReferenceDenoiser, SeenView
from backend.guidance.prior import Prompt, Reference, View, add_noise
from backend.guidance.protocol import Draws
from backend.guidance.ref_sds import (
    NoiseResidual,
    ScoreDistillation,
    TimestepRange,
    distillation_loss,
)
from backend.guidance.reference_cache import CachePlan, ReferenceCache
from backend.guidance.regions import RegionMaps
from backend.guidance.stable_diffusion import StableDiffusionPrior

PROMPT = Prompt("a person in a red coat")
RANGE = TimestepRange(200, 600, 300)


def _draws(seed: int = 0) -> Draws:
    generator = Generator().manual_seed(seed)
    return Draws(generator, generator)


def _view(azimuth: float = 180.0) -> SeenView:
    labels = torch.zeros(1, 32, 32, dtype=torch.uint8)
    labels[0, 4:10, 10:22] = Region.HEAD
    labels[0, 10:30, 8:24] = Region.UPPER
    return SeenView(azimuth, 0.0, labels)


@pytest.fixture(scope="module")
def photo(tiny_prior: StableDiffusionPrior) -> PhotoReference:
    picture = torch.rand(1, 3, 64, 64, generator=Generator().manual_seed(3))
    face = torch.zeros(32, 32, dtype=torch.bool)
    face[5:9, 12:20] = True
    with torch.no_grad():
        return PhotoReference(tiny_prior.encode(picture), _view().labels[0], face)


class _Fixed:
    """A method that answers with one known residual and remembers what it was asked."""

    description = "fixed"

    def __init__(self, answer: Tensor) -> None:
        self.answer, self.asked = answer, {}

    def residual(
        self, noisy: Tensor, noise: Tensor, t: int, view: SeenView, draws: Draws
    ) -> Tensor:
        self.asked = {"noisy": noisy, "noise": noise, "t": t}
        return self.answer

    def learn(self, latents: Tensor, view: SeenView, draws: Draws) -> None:
        self.asked["latents"] = latents

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def test_the_gradient_is_the_weighted_residual_through_the_encoder(
    tiny_prior: StableDiffusionPrior,
) -> None:
    answer = torch.randn(1, 4, 16, 16, generator=Generator().manual_seed(1))
    method = _Fixed(answer)
    picture = torch.rand(1, 3, 64, 64, generator=Generator().manual_seed(2), requires_grad=True)
    loss = ScoreDistillation(tiny_prior, method, RANGE).loss(picture, _view(), 0.0, _draws())
    (found,) = torch.autograd.grad(loss, picture)

    asked = method.asked
    assert not asked["noisy"].requires_grad
    alpha_bar = tiny_prior.alphas_cumprod[asked["t"]]
    latents = tiny_prior.encode(picture)
    torch.testing.assert_close(asked["latents"], latents.detach())
    noised = add_noise(latents.detach(), asked["noise"], alpha_bar[None])
    torch.testing.assert_close(asked["noisy"], noised)
    weighted = (1.0 - alpha_bar) * answer
    (wanted,) = torch.autograd.grad(latents, picture, weighted)
    assert float(wanted.abs().max()) > 1e-5
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(loss.detach(), 0.5 * weighted.square().sum())


def test_distillation_loss_has_exactly_the_given_gradient() -> None:
    latents = (1e4 * torch.randn(1, 4, 8, 8)).requires_grad_()
    gradient = 1e-4 * torch.randn(1, 4, 8, 8)
    (found,) = torch.autograd.grad(distillation_loss(latents, gradient), latents)
    assert torch.equal(found, gradient)


def test_ref_sds_is_the_prior_with_photo_regions_and_front_words(
    tiny_prior: StableDiffusionPrior, photo: PhotoReference
) -> None:
    """eps_hat - eps with classifier-free guidance, written out for one branch after the other."""
    denoiser = ReferenceDenoiser(
        tiny_prior, PROMPT, 7.5, photo, gamma=0.3, background_is_region=True, hide_face=True
    )
    noisy, noise = torch.randn(2, 1, 4, 16, 16, generator=Generator().manual_seed(5))
    found = NoiseResidual(denoiser, "").residual(noisy, noise, 400, _view(180.0), _draws())

    front = tiny_prior.condition(PROMPT, [View(0.0)])
    back = tiny_prior.condition(PROMPT, [View(180.0)])
    maps = RegionMaps(_view().labels, photo.labels, 0.3, True, photo.face[None])
    with torch.no_grad():
        sides = tiny_prior.unet.predict(
            noisy, torch.tensor([400]), back, 2, Reference(photo.latents, front, noise), maps
        )
    wanted = sides[:1] + 7.5 * (sides[1:] - sides[:1]) - noise
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_methods_differ_in_what_they_see_of_the_photo(
    tiny_prior: StableDiffusionPrior, photo: PhotoReference
) -> None:
    noisy, noise = torch.randn(2, 1, 4, 16, 16, generator=Generator().manual_seed(5))

    def eps(azimuth: float = 180.0, seen: PhotoReference | None = photo, **choice: Any) -> Tensor:
        denoiser = ReferenceDenoiser(tiny_prior, PROMPT, 7.5, seen, **choice)
        return denoiser.noise(noisy, 400, _view(azimuth), noise, Generator())

    text, everywhere = eps(seen=None), eps()
    by_region, guarded = eps(gamma=0.3), eps(gamma=0.3, hide_face=True)
    with torch.no_grad():
        plain = tiny_prior.predict_noise(
            noisy,
            torch.tensor([400]),
            tiny_prior.condition(PROMPT, [View(180.0)]),
            guidance_scale=7.5,
        )
    torch.testing.assert_close(text, plain)
    for one, other in ((text, everywhere), (everywhere, by_region), (by_region, guarded)):
        assert float((one - other).abs().max()) > 1e-4
    clean = eps(clean_reference=True)
    with torch.no_grad():
        wanted = tiny_prior.predict_noise(
            noisy,
            torch.tensor([400]),
            tiny_prior.condition(PROMPT, [View(180.0)]),
            guidance_scale=7.5,
            reference=Reference(photo.latents, tiny_prior.condition(PROMPT, [View(0.0)])),
        )
    torch.testing.assert_close(clean, wanted)
    assert float((clean - everywhere).abs().max()) > 1e-4
    # From the side the face may be seen.
    assert torch.equal(eps(90.0, gamma=0.3), eps(90.0, gamma=0.3, hide_face=True))


def test_a_cache_answers_where_it_holds_the_timestep(
    tiny_prior: StableDiffusionPrior, photo: PhotoReference
) -> None:
    denoiser = ReferenceDenoiser(tiny_prior, PROMPT, 7.5, photo, gamma=0.3)
    plan = CachePlan(200, 240, width=20)
    reference = Reference(photo.latents, tiny_prior.condition(PROMPT, [View(0.0)]))
    cache = ReferenceCache.build(tiny_prior.unet, reference, plan)
    noisy, noise = torch.randn(2, 1, 4, 16, 16, generator=Generator().manual_seed(5))
    fresh = [denoiser.noise(noisy, t, _view(), noise, Generator()) for t in (220, 500)]
    with_its_noise = denoiser.noise(noisy, 220, _view(), cache.noise[1, 0][None], Generator())
    denoiser.cache = cache
    cached = [denoiser.noise(noisy, t, _view(), noise, Generator()) for t in (220, 500)]
    torch.testing.assert_close(cached[0], with_its_noise, rtol=1e-4, atol=1e-5)
    assert float((cached[0] - fresh[0]).abs().max()) > 1e-4
    assert torch.equal(cached[1], fresh[1])


def test_timesteps_keep_to_a_range_whose_top_falls() -> None:
    generator = Generator().manual_seed(0)
    early = [RANGE.draw(0.0, generator) for _ in range(4000)]
    late = [RANGE.draw(1.0, generator) for _ in range(1000)]
    assert (min(early), max(early)) == (200, 600)
    assert (min(late), max(late)) == (200, 300)
    assert abs(sum(early) / len(early) - 400) < 10
    assert RANGE.upper(0.5) == 450
    assert TimestepRange(200, 600, 600).upper(0.9) == 600


@pytest.mark.parametrize("bad", [(0, 600, 300), (300, 200, 200), (200, 600, 100), (200, 300, 600)])
def test_impossible_timesteps_are_refused(bad: tuple[int, int, int]) -> None:
    with pytest.raises(HumanRefError) as error:
        TimestepRange(*bad)
    assert error.value.code == "timesteps_invalid"


def test_timesteps_beyond_the_prior_are_refused(tiny_prior: StableDiffusionPrior) -> None:
    method = _Fixed(torch.zeros(1, 4, 16, 16))
    with pytest.raises(HumanRefError, match="1000"):
        ScoreDistillation(tiny_prior, method, TimestepRange(200, 1000, 300))

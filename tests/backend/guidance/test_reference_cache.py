"""The cache of reference features against the exact pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from backend.errors import HumanRefError
from backend.guidance.prior import Condition, Prompt, Reference, View
from backend.guidance.reference_attention import install_reference_attention
from backend.guidance.reference_cache import CachePlan, Place, ReferenceCache
from backend.guidance.regions import RegionMaps
from backend.guidance.stable_diffusion import StableDiffusionPrior


@pytest.fixture(scope="module")
def scene(tiny_prior: StableDiffusionPrior) -> tuple[Tensor, Condition, Reference]:
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(3, 4, 16, 16, generator=generator)
    prompt = Prompt("a man in a green coat")
    words = tiny_prior.condition(prompt, [View(180.0), View(90.0)])
    front = tiny_prior.condition(prompt, [View(0.0)])
    return latents[:2], words, Reference(latents[2:], front)


@pytest.mark.parametrize("place", ["device", "pinned"])
@pytest.mark.parametrize("scale", [7.5, 1.0])
@torch.no_grad()
def test_cached_equals_exact_at_bucket_centres(
    tiny_prior: StableDiffusionPrior,
    scene: tuple[Tensor, Condition, Reference],
    place: Place,
    scale: float,
) -> None:
    target, words, reference = scene
    plan = CachePlan(200, 600, 100, noises=2, branches=1 if scale == 1.0 else 2)
    cache = ReferenceCache.build(tiny_prior.unet, reference, plan, place=place, seed=1)
    regions = RegionMaps(torch.arange(2)[:, None, None].expand(2, 16, 16), torch.ones(16, 16).int())
    for timesteps, samples in (([300], [1]), ([200, 500], [0, 1])):
        noise = torch.stack(
            [cache.noise[plan.bucket(t), s] for t, s in zip(timesteps, samples, strict=True)]
        )
        exact, cached = (
            tiny_prior.predict_noise(
                target,
                torch.tensor(timesteps),
                words,
                guidance_scale=scale,
                reference=either,
                regions=regions,
            )
            for either in (
                Reference(reference.latents, reference.condition, noise),
                cache.look_up(timesteps, samples),
            )
        )
        torch.testing.assert_close(cached, exact, rtol=1e-4, atol=2e-4)
        other = tiny_prior.predict_noise(
            target,
            torch.tensor(timesteps),
            words,
            guidance_scale=scale,
            reference=cache.look_up(timesteps, [1 - s for s in samples]),
            regions=regions,
        )
        assert (other - exact).abs().max() > 0.01, "another noise sample must show"


@torch.no_grad()
def test_size_is_known_before_the_start(
    tiny_prior: StableDiffusionPrior, scene: tuple[Tensor, Condition, Reference]
) -> None:
    plan = CachePlan(300, 330, 10, noises=2)
    planned = plan.bytes(tiny_prior.unet.layers, tiny_prior.latent_shape[1:], torch.float32)
    built = ReferenceCache.build(tiny_prior.unet, scene[2], plan)
    assert built.bytes == planned
    # One entry is handed out without a copy.
    states = built.look_up([310], [1]).states
    again = built.look_up([310], [1]).states
    assert states[0].data_ptr() == again[0].data_ptr()


def test_stable_diffusion_1_5_takes_1_9_gigabytes() -> None:
    from diffusers import UNet2DConditionModel

    # The class's own defaults are version 1.x's block layout; nothing is allocated.
    with torch.device("meta"):
        layers = install_reference_attention(UNet2DConditionModel(cross_attention_dim=768))
    size = CachePlan().bytes(layers, (64, 64), torch.float16)
    assert size == 41 * 2 * 23_101_440
    assert CachePlan(noises=4).bytes(layers, (64, 64), torch.float16) == 4 * size


def test_buckets_cover_the_range_and_take_the_nearest_centre() -> None:
    assert len(CachePlan().centers) == 41
    for last in (200, 203, 600, 605, 606, 609):
        plan = CachePlan(200, last, 10)
        centers = plan.centers
        assert centers[0] == 200
        assert centers[-1] <= last
        for t in range(200, last + 1):
            nearest = min(abs(t - center) for center in centers)
            assert abs(t - centers[plan.bucket(t)]) == nearest <= 5
    with pytest.raises(ValueError, match="outside"):
        plan.bucket(199)


@pytest.mark.parametrize(
    "bad", [{"noises": 0}, {"noises": 5}, {"t_min": 700}, {"width": 0}, {"branches": 3}]
)
def test_impossible_plans_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(HumanRefError) as raised:
        CachePlan(**bad)
    assert raised.value.code == "cache_plan_invalid"

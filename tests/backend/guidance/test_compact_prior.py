"""The compact prior behind the Protocol: exact latents, a remembered photo, guidance by the photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from ellipsoid_people import body_picture, clothed_picture, tiny_network
from torch import Tensor

from backend.errors import HumanRefError
from backend.guidance.compact_files import CompactModel
from backend.guidance.compact_network import MAPS, carried_colors, unfold
from backend.guidance.compact_prior import RESOLUTION, CompactPrior
from backend.guidance.prior import (
    Condition,
    DiffusionPrior,
    Prompt,
    Reference,
    RemembersReference,
    View,
    clean_from_noise,
)
from backend.guidance.regions import RegionMaps
from backend.guidance.view_maps import PhotoOnBody

PROMPT = Prompt("a person")
T = torch.tensor([600])


@pytest.fixture(scope="module")
def prior() -> CompactPrior:
    return CompactPrior(CompactModel(tiny_network(), "CC0-1.0", {}))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    picture = clothed_picture(0.0, seed=3)
    return picture[..., :3] * picture[..., 3:] + 0.5 * (1.0 - picture[..., 3:])


@pytest.fixture(scope="module")
def maps(photo: np.ndarray) -> dict[float, Mapping[str, Tensor]]:
    solid = clothed_picture(0.0, seed=3)[..., 3] > 0.8
    carrier = PhotoOnBody(photo, solid, body_picture(0.0))
    return {a: carrier.maps(body_picture(a), a) for a in (0.0, 90.0, 180.0)}


@pytest.fixture(scope="module")
def target(prior: CompactPrior, maps: dict[float, Mapping[str, Tensor]]) -> Condition:
    return prior.condition(PROMPT, [View(a, 0.0, maps[a]) for a in (90.0, 180.0)])


@pytest.fixture(scope="module")
def reference(
    prior: CompactPrior, photo: np.ndarray, maps: dict[float, Mapping[str, Tensor]]
) -> Reference:
    latents = prior.encode(torch.from_numpy(photo.transpose(2, 0, 1)[None]).float())
    return Reference(latents, prior.condition(PROMPT, [View(0.0, 0.0, maps[0.0], reference=True)]))


@pytest.fixture(scope="module")
def noisy(prior: CompactPrior) -> Tensor:
    return torch.randn(2, *prior.latent_shape, generator=torch.Generator().manual_seed(0))


def test_it_is_a_prior_that_remembers(prior: CompactPrior, noisy: Tensor) -> None:
    assert isinstance(prior, DiffusionPrior)
    assert isinstance(prior, RemembersReference)
    picture = torch.rand(1, 3, RESOLUTION, RESOLUTION)
    assert prior.encode(picture).shape[1:] == prior.latent_shape == noisy.shape[1:]
    assert prior.required_maps == tuple(MAPS)


def test_encoding_is_exact_in_values_and_gradients(prior: CompactPrior) -> None:
    picture = torch.rand(2, 3, RESOLUTION, RESOLUTION, dtype=torch.float32)
    picture.requires_grad_()
    latents = prior.encode(picture)
    torch.testing.assert_close(prior.decode(latents), picture, rtol=0, atol=1e-6)
    pull = torch.randn_like(latents)
    (gradient,) = torch.autograd.grad((latents * pull).sum(), picture)
    assert torch.equal(gradient, 2.0 * unfold(pull))
    # Larger pictures are resampled; a plain one stays plain.
    flat = torch.full((1, 3, 300, 300), 0.25)
    torch.testing.assert_close(
        prior.decode(prior.encode(flat))[0, 0, 5:9, 5:9], torch.full((4, 4), 0.25)
    )


def test_the_photos_own_view_carries_nothing(reference: Reference, target: Condition) -> None:
    assert reference.condition.maps is not None
    assert target.maps is not None
    assert not carried_colors(reference.condition.maps).any()
    assert carried_colors(target.maps).abs().mean((1, 2, 3)).min() > 0.01


@pytest.mark.parametrize("scale", [1.0, 1.8])
def test_a_remembered_photo_is_the_photo_itself(
    prior: CompactPrior, reference: Reference, target: Condition, noisy: Tensor, scale: float
) -> None:
    with torch.no_grad():
        direct = prior.predict_noise(noisy, T, target, guidance_scale=scale, reference=reference)
        kept = prior.remember(reference)
        again = prior.predict_noise(noisy, T, target, guidance_scale=scale, reference=kept)
        # One timestep a picture is the same as one for all.
        each = prior.predict_noise(noisy, T.expand(2), target, guidance_scale=scale, reference=kept)
    assert torch.equal(direct, again)
    assert torch.equal(each, again)


@pytest.mark.parametrize(("scale", "branches"), [(1.0, 1), (1.5, 2)])
def test_guidance_one_computes_one_branch(
    prior: CompactPrior,
    reference: Reference,
    target: Condition,
    noisy: Tensor,
    scale: float,
    branches: int,
) -> None:
    kept = prior.remember(reference)
    rows: list[int] = []
    handle = prior.network.unet.register_forward_hook(
        lambda _, inputs, __: rows.append(len(inputs[0]))
    )
    with torch.no_grad():
        prior.predict_noise(noisy, T, target, guidance_scale=scale, reference=kept)
    handle.remove()
    assert rows == [2 * branches]


def test_guidance_goes_from_the_branch_without_the_photo_to_the_one_with_it(
    prior: CompactPrior, reference: Reference, target: Condition, noisy: Tensor
) -> None:
    assert target.maps is not None
    other_photo = replace(reference, latents=-reference.latents)
    maps = target.maps.clone()
    carried_colors(maps).neg_()
    other_warp = replace(target, maps=maps)

    def noise(scale: float, condition: Condition, photo: Reference) -> Tensor:
        with torch.no_grad():
            return prior.predict_noise(noisy, T, condition, guidance_scale=scale, reference=photo)

    for condition, photo in ((target, other_photo), (other_warp, reference)):
        unlike = (noise(1.0, condition, photo) - noise(1.0, target, reference)).abs().max()
        assert unlike > 1e-4
        alone = noise(0.0, condition, photo)
        torch.testing.assert_close(alone, noise(0.0, target, reference), rtol=0, atol=1e-6)
    # Without any reference the network sees the same as that branch.
    with torch.no_grad():
        bare = prior.predict_noise(noisy, T, target, guidance_scale=1.0)
    alpha_bar = prior.alphas_cumprod[T]
    with_photo, without = (
        clean_from_noise(noise(s, target, reference), noisy, alpha_bar) for s in (1.0, 0.0)
    )
    unguided = clean_from_noise(bare, noisy, alpha_bar).clamp(-1.0, 1.0)
    torch.testing.assert_close(without, unguided, rtol=0, atol=1e-4)
    guided = clean_from_noise(noise(1.5, target, reference), noisy, alpha_bar)
    inside = (with_photo.abs() < 0.99) & (without.abs() < 0.99) & (guided.abs() < 0.99)
    assert inside.float().mean() > 0.3
    expected = without + 1.5 * (with_photo - without)
    torch.testing.assert_close(guided[inside], expected[inside], rtol=0, atol=1e-4)


def test_noise_is_that_of_a_clean_picture_within_range(
    prior: CompactPrior, reference: Reference, target: Condition, noisy: Tensor
) -> None:
    with torch.no_grad():
        eps = prior.predict_noise(3.0 * noisy, T, target, guidance_scale=3.0, reference=reference)
    clean = clean_from_noise(eps, 3.0 * noisy, prior.alphas_cumprod[T])
    assert clean.abs().max() <= 1.0 + 1e-4
    assert (clean.abs() > 0.9999).any()


def test_regions_weigh_the_photo(
    prior: CompactPrior, reference: Reference, target: Condition, noisy: Tensor
) -> None:
    labels = torch.from_numpy(np.stack([body_picture(a).region for a in (0.0, 90.0, 180.0)]))

    def noise(regions: RegionMaps | None) -> Tensor:
        with torch.no_grad():
            return prior.predict_noise(
                noisy, T, target, guidance_scale=1.5, reference=reference, regions=regions
            )

    plain = noise(None)
    indifferent = noise(RegionMaps(labels[1:], labels[0], gamma=1.0))
    torch.testing.assert_close(indifferent, plain, rtol=0, atol=1e-5)
    assert (noise(RegionMaps(labels[1:], labels[0], gamma=0.3)) - plain).abs().max() > 1e-5


def test_what_it_cannot_do_is_said(
    prior: CompactPrior, reference: Reference, target: Condition, noisy: Tensor
) -> None:
    with pytest.raises(HumanRefError) as caught:
        prior.condition(PROMPT, [View(0.0)])
    assert caught.value.code == "maps_missing"
    noised = replace(reference, noise=torch.zeros_like(reference.latents))
    with pytest.raises(HumanRefError) as caught:
        prior.predict_noise(noisy, T, target, guidance_scale=1.0, reference=noised)
    assert caught.value.code == "reference_noise_unsupported"
    with pytest.raises(ValueError, match="not made by this prior"):
        prior.predict_noise(noisy, T, replace(target, maps=None), guidance_scale=1.0)

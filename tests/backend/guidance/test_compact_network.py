"""The compact network's parts against their definitions: folding, maps, tokens, gates, reference."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from ellipsoid_people import TINY, body_picture, clothed_picture, tiny_network
from torch import Tensor, nn

from backend.guidance.compact_network import (
    FOLD,
    MAP_CHANNELS,
    MAPS,
    PICTURE_CHANNELS,
    TOKEN_WIDTH,
    CompactNetwork,
    carried_colors,
    fold,
    fold_maps,
    noise_schedule,
    token_places,
    unfold,
    view_tokens,
    without_geometry,
    without_warp,
)
from backend.guidance.geometry_bias import PlacedCall
from backend.guidance.view_maps import PhotoOnBody

SIDE = 32


def random_maps(rows: int = 2, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    maps = {
        name: torch.rand(rows, channels, SIDE, SIDE, generator=generator) * 2 - 1
        for name, channels in MAPS.items()
    }
    near = (torch.rand(rows, 1, SIDE // 8, SIDE // 8, generator=generator) > 0.5).float()
    maps["near"] = torch.nn.functional.interpolate(near, SIDE) * (maps["near"] > -0.5)
    maps["canonical"] = maps["canonical"] * maps["near"]
    return maps


def test_folding_loses_nothing_and_puts_neighbours_together() -> None:
    picture = torch.randn(2, 3, 8, 12)
    folded = fold(picture)
    assert folded.shape == (2, PICTURE_CHANNELS, 2, 3)
    assert torch.equal(unfold(folded), picture)
    assert folded[1, 1 * FOLD**2 + 2 * FOLD + 3, 1, 2] == picture[1, 1, 4 + 2, 8 + 3]


def test_folded_maps_hold_what_they_say_and_forget_what_they_must() -> None:
    maps = random_maps()
    view, photo = fold_maps(maps, reference=False), fold_maps(maps, reference=True)
    assert view.shape == (2, MAP_CHANNELS, SIDE // FOLD, SIDE // FOLD)
    assert torch.equal(carried_colors(view), fold(maps["warp"]))
    assert not carried_colors(photo).any()
    assert (view[:, -1] == 0.0).all()
    assert (photo[:, -1] == 1.0).all()

    rows = torch.tensor([True, False])
    changed = {**maps, "warp": -maps["warp"], "warp_valid": -maps["warp_valid"]}
    other = without_warp(fold_maps(changed, reference=False), rows)
    kept = without_warp(view, rows)
    assert torch.equal(kept[0], other[0])
    assert torch.equal(kept[1], view[1])
    assert not torch.equal(kept[1], other[1])

    elsewhere = random_maps(seed=1) | {k: maps[k] for k in ("warp", "warp_valid")}
    other = without_geometry(fold_maps(elsewhere, reference=False), rows)
    kept = without_geometry(view, rows)
    assert torch.equal(kept[0], other[0])
    assert torch.equal(carried_colors(kept), carried_colors(view))
    assert torch.equal(kept[1], view[1])
    assert not torch.equal(kept[1], other[1])


def test_a_tokens_place_is_the_mean_of_its_pixels_of_the_body() -> None:
    maps = random_maps()
    found = token_places(fold_maps(maps, reference=False), tiny_network().layers)
    # Three levels, attention in the lower two: 4 x 4 and 2 x 2 tokens of 8 x 8 latents.
    assert sorted(found) == [4, 16]
    for tokens, places in found.items():
        n = math.isqrt(tokens)
        wide = SIDE // n
        for token in range(tokens):
            r, c = divmod(token, n)
            at = (..., slice(r * wide, (r + 1) * wide), slice(c * wide, (c + 1) * wide))
            near = maps["near"][at]
            share = near.mean((1, 2, 3))
            expected = (maps["canonical"][at] * near).sum((2, 3)) / near.sum((2, 3)).clamp_min(1)
            torch.testing.assert_close(places.place[:, token], expected, rtol=0, atol=1e-5)
            assert torch.equal(places.there[:, token], (share > 0.05).float())
    assert 0 < found[16].there.mean() < 1


def test_tokens_of_a_view_turn_with_the_camera() -> None:
    angles = torch.tensor([0.0, 360.0, 90.0, -90.0])
    tokens = view_tokens(angles, torch.tensor([0.0, 0.0, 10.0, 10.0]))
    assert tokens.shape == (4, 1, TOKEN_WIDTH)
    torch.testing.assert_close(tokens[0], tokens[1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(tokens[2, 0, :2], [1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(tokens[3, 0, :2], [-1.0, 0.0], atol=1e-6)


def test_the_schedule_is_the_cosine_one() -> None:
    alphas = noise_schedule().double().numpy()
    time = np.arange(1001) / 1000
    curve = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.minimum(1.0 - curve[1:] / curve[:-1], 0.999)
    np.testing.assert_allclose(alphas, np.cumprod(1.0 - betas), atol=1e-5)


class _Says(nn.Module):
    """In place of the U-Net: always the same output."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: object, **__: object) -> tuple[Tensor]:
        return (self.output,)


def test_x0_is_painted_plus_gated_colours_plus_the_gated_noisy_picture() -> None:
    network = tiny_network()
    n = SIDE // FOLD
    output = torch.randn(2, PICTURE_CHANNELS + 2 * FOLD**2, n, n)
    network.unet = _Says(output)
    noisy, maps = torch.randn(2, 3, SIDE, SIDE), random_maps()
    t = torch.tensor([30, 700])
    tokens = view_tokens(torch.zeros(2), torch.zeros(2))
    folded = fold_maps(maps, reference=False)
    found = network(fold(noisy), t, folded, tokens, None, seamless=False)
    pixels = unfold(found).double()

    def sigmoid(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-x))

    for row, channel, y, x in ((0, 0, 3, 5), (0, 2, 31, 0), (1, 1, 14, 22), (1, 2, 9, 30)):
        inner = y % FOLD * FOLD + x % FOLD
        cell = output[row, :, y // FOLD, x // FOLD].tolist()
        kept = float(network.alphas_cumprod[t[row]])
        wiener = math.sqrt(kept) * 0.2 / (0.2 * kept + 1.0 - kept)
        expected = (
            cell[channel * FOLD**2 + inner]
            + sigmoid(cell[PICTURE_CHANNELS + inner] - 1.0)
            * float(maps["warp"][row, channel, y, x])
            + sigmoid(cell[PICTURE_CHANNELS + FOLD**2 + inner])
            * wiener
            * float(noisy[row, channel, y, x])
        )
        assert math.isclose(float(pixels[row, channel, y, x]), expected, abs_tol=1e-5)


def test_seams_are_taken_away_on_whole_pixels() -> None:
    network = tiny_network()
    n = SIDE // FOLD
    noisy, maps = torch.randn(1, 3, SIDE, SIDE), random_maps(rows=1)
    tokens, folded = view_tokens(torch.zeros(1), torch.zeros(1)), fold_maps(maps, reference=False)
    output = torch.randn(1, PICTURE_CHANNELS + 2 * FOLD**2, n, n)

    def clean(t: int, seamless: bool) -> Tensor:
        network.unet = _Says(output)
        steps = torch.tensor([t])
        return unfold(network(fold(noisy), steps, folded, tokens, None, seamless=seamless))

    with_seams, without = clean(300, False), clean(300, True)
    alpha_bar = network.alphas_cumprod[300]
    own = alpha_bar.sqrt() * 0.2 / (0.2 * alpha_bar + 1.0 - alpha_bar) * noisy
    seams = network.seams
    told = seams.level((alpha_bar / (1.0 - alpha_bar)).log().reshape(1, 1) / 4.0)
    x = seams.enter(torch.cat([with_seams, maps["warp"], own], 1)) + told[..., None, None]
    x = seams.leave(nn.functional.silu(seams.middle(nn.functional.silu(x))))
    torch.testing.assert_close(without, with_seams + x, rtol=0, atol=1e-4)
    assert x.abs().max() > 1e-3
    # Before training they change nothing.
    seams.leave.weight.zero_()
    seams.leave.bias.zero_()
    assert torch.equal(clean(300, True), with_seams)


def views_of_a_person() -> Tensor:
    photo = clothed_picture(0.0, seed=1)
    over_grey = photo[..., :3] * photo[..., 3:] + 0.5 * (1 - photo[..., 3:])
    carrier = PhotoOnBody(over_grey, photo[..., 3] > 0.8, body_picture(0.0))
    rows = [carrier.maps(body_picture(a), a) for a in (0.0, 90.0, 180.0)]
    return torch.cat(
        [
            fold_maps({k: v[None] for k, v in row.items()}, reference=k == 0)
            for k, row in enumerate(rows)
        ]
    )


def test_targets_look_at_the_photo_unless_they_are_alone() -> None:
    maps = views_of_a_person()
    tokens = view_tokens(torch.tensor([0.0, 90.0, 180.0]), torch.zeros(3))
    torch.manual_seed(2)
    pictures = torch.randn(3, PICTURE_CHANNELS, 32, 32)
    t = torch.tensor([0, 400, 600])

    def clean(network: CompactNetwork, pictures: Tensor) -> Tensor:
        call = PlacedCall(
            rows=torch.zeros(2, dtype=torch.long),
            leading=1,
            targets=token_places(maps[1:], network.layers),
            references=token_places(maps[:1], network.layers),
            alone=torch.tensor([False, True]),
        )
        return network(pictures, t, maps, tokens, call)

    network = tiny_network()
    first = clean(network, pictures)
    other_photo = torch.cat([-pictures[:1], pictures[1:]])
    second = clean(network, other_photo)
    assert (first[1] - second[1]).abs().max() > 1e-4
    torch.testing.assert_close(first[2], second[2], rtol=0, atol=1e-6)
    other_targets = torch.cat([pictures[:1], -pictures[1:]])
    torch.testing.assert_close(clean(network, other_targets)[0], first[0], rtol=0, atol=1e-6)

    # Where the tokens lie matters, and only with the bias.
    with torch.no_grad():
        for bias in network.biases:
            bias.liking += 2.0
    assert (clean(network, pictures)[1] - first[1]).abs().max() > 1e-4
    torch.testing.assert_close(clean(network, pictures)[2], first[2], rtol=0, atol=1e-6)
    plain = tiny_network(config=replace(TINY, geometry=False))
    assert len(plain.biases) == 0
    assert clean(plain, pictures).shape == pictures.shape

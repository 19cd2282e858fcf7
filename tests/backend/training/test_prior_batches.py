"""Batches of the compact prior: left and right, cropping, seeds, and the maps of run time."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from ellipsoid_people import SIDE

from backend.guidance.compact_network import carried_colors, fold_maps, unfold, view_tokens
from backend.guidance.correspondence import BodyPicture, carry_colors
from backend.guidance.view_maps import PhotoOnBody
from backend.training.photo_damage import over_grey
from backend.training.prior_batches import BatchShape, draw_batch, exact_batch, mirrored
from backend.training.prior_store import PeopleSplit, Views


def test_mirroring_twice_is_nothing(packed: PeopleSplit) -> None:
    views = packed.train[0].views([0, 3, 8])
    once, twice = mirrored(views), mirrored(mirrored(views))
    for field in fields(Views):
        if field.name != "places":
            np.testing.assert_array_equal(getattr(twice, field.name), getattr(views, field.name))
    for mine, was in zip(twice.places, views.places, strict=True):
        np.testing.assert_allclose(mine.xy, was.xy, atol=1e-4)
        np.testing.assert_array_equal(mine.valid, was.valid)
    # What is carried in the mirror is what is carried, mirrored.
    for k in range(3):
        carried = carry_colors(views.color[0, ..., :3], views.places[k])
        across = carry_colors(once.color[0, ..., :3], once.places[k])
        # OpenCV rounds places to 1/32 of a pixel, halves to either side.
        np.testing.assert_allclose(across, carried[:, ::-1], atol=0.04)
    # Looking left from the left is looking right from the right.
    np.testing.assert_array_equal(once.azimuth, -views.azimuth)
    np.testing.assert_array_equal(once.body_normal[1, :, ::-1, 0], -views.body_normal[1, ..., 0])
    np.testing.assert_array_equal(once.body_normal[1, :, ::-1, 1], views.body_normal[1, ..., 1])


def test_an_exact_batch_is_what_the_prior_is_told_at_run_time(packed: PeopleSplit) -> None:
    person, which = packed.train[0], [4, 8]
    batch = exact_batch(person, which)
    views = person.views([0, *which])
    bodies = [
        BodyPicture(n, c * (r > 0)[..., None], r)
        for n, c, r in zip(views.body_normal, views.canonical, views.region, strict=True)
    ]
    photo = over_grey(views.color[0])
    carrier = PhotoOnBody(photo, views.color[0, ..., 3] > 0.8, bodies[0])
    for k, azimuth in enumerate((0.0, 90.0, 180.0)):
        told = {name: each[None] for name, each in carrier.maps(bodies[k], azimuth).items()}
        expected = fold_maps(told, reference=k == 0)[0]
        found = batch.photo_maps[0] if k == 0 else batch.maps[k - 1]
        # Packed places are rounded to 1/256 of a pixel, and neighbours equally far may be others.
        away = (found - expected).abs()
        assert (away > 0.05).float().mean() < 1e-3
        assert away.mean() < 1e-3
    torch.testing.assert_close(
        unfold(batch.photo)[0], torch.from_numpy(photo).permute(2, 0, 1) * 2 - 1
    )
    tokens = view_tokens(torch.tensor([90.0, 180.0]), torch.zeros(2))
    torch.testing.assert_close(batch.tokens, tokens)
    assert batch.owner.tolist() == [0, 0]
    covered = torch.from_numpy(views.color[1:, None, ..., 3]) > 0.5
    assert batch.weight[covered].min() == pytest.approx(1.0)
    assert batch.weight.min() == pytest.approx(0.2)


def test_a_batch_follows_from_its_seed(packed: PeopleSplit) -> None:
    shape = BatchShape(people=2, targets=3, width=64)
    one, same, other = (
        draw_batch(packed.train, shape, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one.clean, same.clean)
    assert torch.equal(one.maps, same.maps)
    assert not torch.equal(one.clean, other.clean)
    assert one.clean.shape == (6, 48, SIDE // 4, 16)
    assert one.photo.shape == (2, 48, SIDE // 4, 16)
    assert one.owner.tolist() == [0, 0, 0, 1, 1, 1]
    assert one.clean.abs().max() <= 1.0


def test_a_start_is_the_carried_photo_in_the_person_s_outline(packed: PeopleSplit) -> None:
    shape = BatchShape(people=4, targets=4, width=SIDE, front_details=0.0)
    batch = draw_batch(packed.train, shape, np.random.default_rng(2))
    start, clean = unfold(batch.start), unfold(batch.clean)
    warp = unfold(carried_colors(batch.maps))
    assert not torch.allclose(start, clean, atol=0.1)
    carried = warp.abs().sum(1, keepdim=True) > 0.0
    # Off the outline and where nothing is carried nothing is changed.
    outside = (unfold(batch.clean).abs().amax(1, keepdim=True) < 1e-3) | ~carried
    assert (start - clean).abs()[outside.expand_as(start)].max() < 0.02
    # Elsewhere it lies between the truth and what is carried; of half of the people it is the latter.
    low, high = torch.minimum(warp, clean) - 1e-4, torch.maximum(warp, clean) + 1e-4
    inside = ~outside.expand_as(start)
    assert ((start >= low) & (start <= high))[inside].all()
    away = torch.where(inside, (start - warp).abs(), 0.0).amax((1, 2, 3)).view(4, 4).amax(1)
    assert (away < 1.0).any()


def test_narrow_pictures_are_the_middle_of_whole_ones(packed: PeopleSplit) -> None:
    person = packed.validation[0]
    whole, narrow = exact_batch(person, [2, 9]), exact_batch(person, [2, 9], width=96)
    for name in ("photo", "photo_maps", "clean", "maps"):
        torch.testing.assert_close(getattr(narrow, name), getattr(whole, name)[..., 4:-4])
    # Nothing of the person is lost: beyond, all is grey.
    assert unfold(whole.clean)[..., :16].abs().max() < 0.01


def test_the_back_is_drawn_more_often_and_the_photo_seldom(packed: PeopleSplit) -> None:
    shape = BatchShape(people=40, targets=3, width=32)
    batch = draw_batch(packed.train, shape, np.random.default_rng(0))
    sine, cosine = batch.tokens[:, 0, 0], batch.tokens[:, 0, 1]
    turned = torch.rad2deg(torch.atan2(sine, cosine)).abs()
    # 7 of 16 views lie beyond 100 degrees: 7 * 1.5 / (7 * 1.5 + 8 + 0.2) = 0.56.
    assert 0.47 < (turned > 100.0).float().mean() < 0.65
    assert (turned < 1.0).float().mean() < 0.06

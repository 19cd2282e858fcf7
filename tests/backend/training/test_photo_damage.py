"""Changed colours and spoiled photos: seeded, in range, and still the same person."""

from __future__ import annotations

import numpy as np
from ellipsoid_people import SIDE, clothed_picture

from backend.training.photo_damage import Tone, damaged, over_grey


def test_a_neutral_tone_changes_nothing_and_others_change_every_view_alike() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.uniform(0.0, 1.0, (2, 5, 5, 3)).astype(np.float32)
    neutral = Tone(1.0, np.ones(3), (0, 1, 2), 1.0)
    np.testing.assert_allclose(neutral.on(rgb), rgb, atol=1e-6)
    swapped = Tone(2.0, np.array([1.0, 0.5, 1.0]), (2, 0, 1), 1.0)
    expected = np.stack([rgb[..., 2] ** 2, 0.5 * rgb[..., 0] ** 2, rgb[..., 1] ** 2], -1)
    np.testing.assert_allclose(swapped.on(rgb), expected, atol=1e-6)
    grey = Tone(1.0, np.ones(3), (0, 1, 2), 0.0)
    np.testing.assert_allclose(grey.on(rgb), rgb.mean(-1, keepdims=True).repeat(3, -1), atol=1e-6)
    orders = set()
    for seed in range(30):
        tone = Tone.draw(np.random.default_rng(seed))
        both = tone.on(rgb)
        np.testing.assert_allclose(both[1], tone.on(rgb[1]), atol=1e-6)
        assert both.dtype == np.float32
        assert both.min() >= 0.0
        assert both.max() <= 1.0
        orders.add(tone.order)
    assert (0, 1, 2) in orders
    assert len(orders) > 2


def test_pictures_over_grey() -> None:
    rgba = np.array([[1.0, 0.0, 0.2, 1.0], [1.0, 0.0, 0.2, 0.0], [1.0, 0.0, 0.2, 0.25]])
    expected = [[1.0, 0.0, 0.2], [0.5, 0.5, 0.5], [0.625, 0.375, 0.425]]
    np.testing.assert_allclose(over_grey(rgba), expected)


def test_a_spoiled_photo_is_another_picture_of_the_same_person() -> None:
    rgba = clothed_picture(0.0, seed=2).astype(np.float32)
    before = rgba.copy()
    plain, inside = over_grey(rgba), rgba[..., 3] > 0.5
    changed = []
    for seed in range(20):
        photo = damaged(rgba, np.random.default_rng(seed))
        np.testing.assert_array_equal(photo, damaged(rgba, np.random.default_rng(seed)))
        assert photo.shape == (SIDE, SIDE, 3)
        assert photo.dtype == np.float32
        assert photo.min() >= 0.0
        assert photo.max() <= 1.0
        wrong = np.abs(photo - plain)
        assert wrong[inside].mean() < 0.15
        # Far from the person the grey stays grey, but for what compression leaves.
        assert wrong[:, :20].mean() < 0.02
        changed.append(wrong.max())
    np.testing.assert_array_equal(rgba, before)
    assert np.median(changed) > 0.02

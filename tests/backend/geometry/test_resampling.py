"""Squares and points of a picture keep positions, average when they shrink, and end at its edge."""

import numpy as np
import pytest

from backend.geometry.frames import CropFrame
from backend.geometry.resampling import crop_map, sample


@pytest.mark.parametrize(
    ("crop", "side"),
    [
        (CropFrame(70.3, 61.7, 50.0), 200),
        (CropFrame(60.0, 95.0, 90.0), 60),
        (CropFrame(42.0, 42.0, 32.0), 64),
    ],
)
def test_a_ramp_is_sampled_at_the_right_places(crop: CropFrame, side: int) -> None:
    v, u = np.mgrid[:160, :200] + 0.5
    got = crop_map(np.stack([u, v], -1), crop, side)
    t = (np.arange(side) + 0.5) / side * 2 - 1
    wanted = crop.to_photo(np.stack(np.meshgrid(t, -t), -1))
    inside = ((wanted > 4) & (wanted < [196, 156])).all(-1)
    assert inside.sum() > 100
    np.testing.assert_allclose(got[inside], wanted[inside], atol=0.06)


def test_bytes_stay_bytes_and_agree_with_numbers() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    for crop, side in ((CropFrame(33.0, 41.0, 20.0), 64), (CropFrame(33.0, 41.0, 60.0), 30)):
        got = crop_map(picture, crop, side)
        assert got.dtype == np.uint8
        exact = crop_map(picture.astype(np.float32), crop, side)
        assert np.abs(got - exact).max() < 1.6


@pytest.mark.parametrize("cubic", [False, True])
def test_points_of_a_ramp(cubic: bool) -> None:
    v, u = np.mgrid[:40, :50] + 0.5
    rng = np.random.default_rng(0)
    places = rng.uniform([3, 3], [47, 37], (10_000, 2))
    got = sample(np.stack([u, v], -1), places, cubic=cubic)
    # OpenCV knows 32 places between two pixels.
    np.testing.assert_allclose(got, places, atol=0.06)
    edge = sample(u, np.array([[-9.0, 5.0], [99.0, 5.0]]), cubic=cubic)
    np.testing.assert_allclose(edge, [0.5, 49.5])
    assert sample(u, np.zeros((0, 2))).shape == (0,)


def test_crop_map_agrees_with_the_crop_frame() -> None:
    v, u = np.mgrid[:80, :60] + 0.5
    crop = CropFrame(center_u=30.0, center_v=42.0, half_size=20.0)
    n = 32
    got = crop_map(np.stack([u, v], -1), crop, n)
    t = (np.arange(n) + 0.5) / n * 2 - 1
    x, y = np.meshgrid(t, -t)
    expected = crop.to_photo(np.stack([x, y], -1))
    np.testing.assert_allclose(got, expected, atol=0.02)


def test_crop_map_averages_when_it_shrinks_and_is_zero_outside() -> None:
    board = (np.indices((400, 400)).sum(0) % 2).astype(np.float32)
    inside = crop_map(board, CropFrame(200.0, 200.0, 150.0), 50)
    np.testing.assert_allclose(inside, 0.5, atol=0.01)
    beyond = crop_map(np.ones((40, 40), np.float32), CropFrame(20.0, 20.0, 80.0), 64)
    assert beyond[0, 0] == 0.0
    assert beyond[32, 32] == 1.0


def test_crop_map_keeps_labels_whole() -> None:
    labels = np.random.default_rng(0).integers(0, 5, (90, 90)).astype(np.uint8)
    got = crop_map(labels, CropFrame(45.0, 45.0, 45.0), 33, nearest=True)
    assert got.dtype == np.uint8
    assert set(np.unique(got)) <= set(range(5))

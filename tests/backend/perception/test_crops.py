"""Crops keep positions: what is at u, v in the photo is there in the crop, and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.perception.crops import SquareCrop


@pytest.mark.parametrize(
    "crop",
    [
        SquareCrop(20.3, 11.7, 100.0, 200),
        SquareCrop(-30.0, 5.0, 180.0, 60),
        SquareCrop(10.0, 10.0, 64.0, 64),
    ],
)
def test_a_linear_ramp_is_sampled_at_the_right_places(crop: SquareCrop) -> None:
    v, u = np.mgrid[:160, :200].astype(np.float32) + 0.5
    ramp = crop.cut(np.stack([u, v], -1), cv2.BORDER_REPLICATE)
    centers = np.mgrid[: crop.size, : crop.size][::-1].transpose(1, 2, 0).reshape(-1, 2) + 0.5
    wanted = crop.to_photo(centers)
    got = ramp.reshape(-1, 2)
    inside = ((wanted > 4) & (wanted < [196, 156])).all(1)
    assert inside.sum() > 100
    np.testing.assert_allclose(got[inside], wanted[inside], atol=0.06)


def test_outside_the_photo_there_is_nothing() -> None:
    crop = SquareCrop(-50.0, -50.0, 100.0, 100)
    cut = crop.cut(np.ones((80, 80), np.float32))
    assert cut[:49].max() == 0.0
    assert cut[52:, 52:].min() == 1.0


def test_shrinking_averages() -> None:
    v, u = np.mgrid[:400, :400]
    checker = ((u + v) % 2).astype(np.float32)
    cut = SquareCrop(0.0, 0.0, 400.0, 50).cut(checker)
    np.testing.assert_allclose(cut[1:-1, 1:-1], 0.5, atol=1e-3)

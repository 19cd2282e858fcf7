"""What vertex colours are fitted to: the photo, what is carried behind, what a prior painted there."""

from __future__ import annotations

import numpy as np
import pytest

from backend.guidance.protocol import CarriedPhoto, PaintedView
from backend.optimization.targets import CropMaps
from backend.pipeline import _face_pictures

N = 64


@pytest.fixture
def maps() -> CropMaps:
    """A square person, whose lower part lies below the photo's edge."""
    mask = np.zeros((N, N))
    mask[8:48, 16:48] = 1.0
    known = np.ones((N, N), bool)
    known[48:] = False
    nothing = np.zeros((N, N), bool)
    return CropMaps(np.full((N, N, 3), 0.3), mask, known, nothing, nothing)


@pytest.fixture
def carried() -> CarriedPhoto:
    left = np.zeros((N, N, 3)) + np.linspace(0, 1, N)[None, :, None]
    return CarriedPhoto(np.full((N, N, 3), 0.8), left, np.full((N, N), 0.25, np.float32))


def test_without_a_carried_photo_only_the_front_is_known(maps: CropMaps) -> None:
    front, back = _face_pictures(maps, None, None)
    assert back is None
    assert front.weight[20, 30] == 1.0
    assert front.weight[55, 30] == 0.0


def test_beyond_the_photo_the_carried_tone_counts(maps: CropMaps, carried: CarriedPhoto) -> None:
    front, back = _face_pictures(maps, carried, None)
    assert (front.rgb[20, 30, 0], front.rgb[55, 30, 0]) == (0.3, 0.8)
    assert front.weight[55, 30] == 1.0
    assert back is not None
    assert back.share is not None
    np.testing.assert_allclose(back.share, 0.25)
    # Seen from behind, left is right.
    np.testing.assert_allclose(back.rgb[20], carried.back[20, ::-1])


def test_what_a_prior_painted_is_followed_as_far_as_it_says(
    maps: CropMaps, carried: CarriedPhoto
) -> None:
    share = np.zeros((16, 16), np.float32)
    share[:, :8] = 1.0
    painted = PaintedView(180.0, np.full((16, 16, 3), 0.5, np.float32), share)
    _, back = _face_pictures(maps, carried, painted)
    assert back is not None
    assert back.share is None
    # Well inside, on the painted half: the prior's; on the other: the photo's, turned.
    np.testing.assert_allclose(back.rgb[28, 26], 0.5, atol=0.05)
    np.testing.assert_allclose(back.rgb[28, 44], carried.back[28, N - 1 - 44], atol=1e-6)
    # At the outline nothing of a small picture is taken.
    np.testing.assert_allclose(back.rgb[28, 16], carried.back[28, N - 1 - 16], atol=0.05)

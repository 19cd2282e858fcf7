"""What vertex colours are fitted to: the photo, what is carried behind, what a prior painted there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.guidance.protocol import CarriedPhoto, PaintedView
from backend.meshing.limbs import SHAPED, LimbMaps
from backend.optimization.targets import CropMaps
from backend.pipeline import _face_pictures

N = 64
# Nowhere flat enough for patches, and everywhere.
FAR = np.ones((N, N), np.float32)
SHAPED_ALL = LimbMaps(np.full((N, N), SHAPED, np.uint8), 0.0 * FAR, FAR)
TRUNK = LimbMaps(np.ones((N, N), np.uint8), 0.0 * FAR, FAR)


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
    front, back = _face_pictures(maps, None, None, SHAPED_ALL, 0)
    assert back is None
    assert front.weight[20, 30] == 1.0
    assert front.weight[55, 30] == 0.0


def test_beyond_the_photo_the_carried_tone_counts(maps: CropMaps, carried: CarriedPhoto) -> None:
    front, back = _face_pictures(maps, carried, None, SHAPED_ALL, 0)
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
    _, back = _face_pictures(maps, carried, painted, SHAPED_ALL, 0)
    assert back is not None
    assert back.share is None
    # Well inside, on the painted half: the prior's; on the other: the photo's, turned.
    np.testing.assert_allclose(back.rgb[28, 26], 0.5, atol=0.05)
    np.testing.assert_allclose(back.rgb[28, 44], carried.back[28, N - 1 - 44], atol=1e-6)
    # At the outline nothing of a small picture is taken.
    np.testing.assert_allclose(back.rgb[28, 16], carried.back[28, N - 1 - 16], atol=0.05)


def test_what_is_surely_wrong_becomes_the_cloth_around(
    maps: CropMaps, carried: CarriedPhoto
) -> None:
    """A print on one side; a prior that sees a blurred spot of the cloth's tone there."""
    checks = np.indices((N, N)).sum(0) // 3 % 2
    cloth = (0.4 + 0.2 * checks)[..., None].astype(np.float32).repeat(3, 2)
    printed = cloth.copy()
    printed[31:41, 33:43] = [0.0, 1.0, 0.0]
    share = np.zeros((N, N), np.float32)
    share[30:42, 32:44] = 1.0
    painted = PaintedView(180.0, np.full((N, N, 3), 0.5, np.float32), share[:, ::-1])
    known = replace(maps, known=np.ones((N, N), bool))
    sight = replace(carried, back=printed)
    blurred, mended = (
        _face_pictures(known, sight, painted, limbs, 0)[1] for limbs in (SHAPED_ALL, TRUNK)
    )
    assert blurred is not None
    assert mended is not None
    middle = np.s_[32:40, N - 42 : N - 34]
    assert blurred.rgb[middle].std() < 0.02
    assert mended.rgb[middle].std() > 0.08
    assert mended.rgb[middle].min() > 0.35
    away = np.s_[8:24, N - 46 : N - 20]
    np.testing.assert_array_equal(mended.rgb[away], blurred.rgb[away])

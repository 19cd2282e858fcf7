"""Silhouettes of the example's person in front of known backgrounds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from perception_support import Seen, as_photo, cut_out, set_on

from backend.errors import HumanRefError
from backend.perception.backdrop import find_backdrop
from backend.perception.landmarks import Detection
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.segmentation import KeyedSegmentation, MediapipeGrabCut, grab_cut


def iou(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one > 0.5, other > 0.5
    return float((a & b).sum() / (a | b).sum())


def textured(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0.2, 0.8, (24, 18, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def test_grab_cut_recovers_a_known_silhouette(seen: Seen, models: MediapipeModels) -> None:
    photo = set_on(seen, textured(*seen.mask.shape))
    mask = MediapipeGrabCut(models).segment(photo, seen.detection, None)
    assert iou(mask, seen.mask) > 0.98
    assert mask.dtype == np.float32
    assert 0.0 <= mask.min() <= mask.max() <= 1.0
    again = MediapipeGrabCut(models).segment(photo, seen.detection, None)
    np.testing.assert_array_equal(mask, again)


def test_a_matte_is_taken_as_it_is(seen: Seen) -> None:
    photo = as_photo(seen.photo.rgb, matte=seen.mask)
    mask = KeyedSegmentation().segment(photo, seen.detection, None)
    inside = seen.mask > 0.5
    np.testing.assert_array_equal(mask[inside], seen.mask[inside])
    assert iou(mask, seen.mask) > 0.999


def test_a_hard_cut_on_one_colour_is_keyed_exactly(seen: Seen) -> None:
    photo = cut_out(seen, (0.0, 0.0, 0.0))
    backdrop = find_backdrop(photo)
    assert backdrop is not None
    assert backdrop.hard_cut
    mask = KeyedSegmentation().segment(photo, seen.detection, backdrop)
    assert iou(mask, seen.mask) > 0.995


def test_white_shirt_on_white_has_no_holes(seen: Seen) -> None:
    photo = cut_out(seen, (1.0, 1.0, 1.0))
    chest = seen.detection.landmarks.body[[11, 12, 23, 24]].mean(0).astype(int)
    rgb = photo.rgb.copy()
    cv2.circle(rgb, (int(chest[0]), int(chest[1])), 25, (1.0, 1.0, 1.0), -1)
    holed = as_photo(rgb)
    mask = KeyedSegmentation().segment(holed, seen.detection, find_backdrop(holed))
    assert mask[chest[1] - 20 : chest[1] + 20, chest[0]].min() == 1.0
    between_legs = seen.detection.landmarks.body[[25, 26]].mean(0).astype(int)
    assert mask[between_legs[1], between_legs[0]] == 0.0


def test_mixed_edge_pixels_get_their_coverage(seen: Seen) -> None:
    rgb = np.zeros((160, 160, 3), np.float32)
    rgb[40:120, 40:120] = 0.8
    rgb[40:120, 39] = 0.8 * 0.3
    prior = np.zeros((160, 160), np.float32)
    prior[50:110, 50:110] = 1.0
    photo = as_photo(rgb)
    detection = Detection(seen.detection.landmarks, prior, None, 1, 0, ())
    mask = KeyedSegmentation().segment(photo, detection, find_backdrop(photo))
    np.testing.assert_allclose(mask[60:100, 39], 0.3, atol=0.02)
    np.testing.assert_allclose(mask[60:100, 40:119], 1.0, atol=0.02)


def test_other_people_are_background(seen: Seen, models: MediapipeModels) -> None:
    others = np.zeros(seen.mask.shape, bool)
    hips = int(seen.detection.landmarks.body[[23, 24], 1].mean())
    others[hips:] = True
    detection = Detection(
        seen.detection.landmarks, seen.detection.prior * ~others, others, 2, 0, ()
    )
    for segmenter in (KeyedSegmentation(), MediapipeGrabCut(models)):
        photo = as_photo(seen.photo.rgb, matte=seen.mask)
        mask = segmenter.segment(photo, detection, None)
        assert mask[hips + 12 :].max() < 0.05
        assert (mask[: hips - 12] > 0.5).sum() > 0.9 * (seen.mask[: hips - 12] > 0.5).sum()


def test_keying_needs_a_backdrop(seen: Seen) -> None:
    with pytest.raises(HumanRefError) as caught:
        KeyedSegmentation().segment(seen.photo, seen.detection, None)
    assert caught.value.code == "no_backdrop"


def test_grab_cut_without_any_sure_pixel_falls_to_the_seed() -> None:
    seed = np.full((40, 40), 0.6, np.float32)
    none = np.zeros((40, 40), bool)
    assert grab_cut(np.zeros((40, 40, 3), np.uint8), seed, none).all()

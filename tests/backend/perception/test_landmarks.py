"""Landmarks of the example photo, against what the picture shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from perception_support import Seen, as_photo, set_on

from backend.errors import HumanRefError
from backend.perception.landmarks import MediapipeLandmarks
from backend.perception.mediapipe_models import MediapipeModels

NOSE, LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_WRIST, RIGHT_WRIST = 0, 11, 12, 15, 16
LEFT_HIP, RIGHT_HIP, LEFT_ANKLE, RIGHT_ANKLE = 23, 24, 27, 28
LEFT_HEEL, RIGHT_HEEL, LEFT_TOE, RIGHT_TOE = 29, 30, 31, 32


def test_points_lie_on_the_person(seen: Seen) -> None:
    points = np.floor(seen.detection.landmarks.body).astype(int)
    # A fingertip may land beside a finger, not further.
    near = cv2.dilate(seen.mask, np.ones((15, 15)))
    assert near[points[:, 1], points[:, 0]].min() > 0.5
    assert np.median(seen.mask[points[:, 1], points[:, 0]]) == 1.0
    assert seen.detection.landmarks.visibility.min() > 0.5
    assert seen.detection.warnings == ()


def test_world_axes(seen: Seen) -> None:
    """x to the picture's right = the facing person's left, y up, z towards the camera; metres."""
    p = seen.detection.landmarks.body_3d
    np.testing.assert_allclose((p[LEFT_HIP] + p[RIGHT_HIP]) / 2, 0, atol=1e-6)
    assert p[LEFT_SHOULDER, 0] > p[RIGHT_SHOULDER, 0] + 0.2
    assert p[LEFT_WRIST, 0] > p[RIGHT_WRIST, 0] + 0.3
    assert p[NOSE, 1] > 0.4
    assert p[[LEFT_ANKLE, RIGHT_ANKLE], 1].max() < -0.5
    assert (p[[LEFT_TOE, RIGHT_TOE], 2] > p[[LEFT_HEEL, RIGHT_HEEL], 2]).all()
    assert p[NOSE, 2] > (p[LEFT_SHOULDER, 2] + p[RIGHT_SHOULDER, 2]) / 2
    flat = seen.detection.landmarks.body
    assert flat[LEFT_SHOULDER, 0] > flat[RIGHT_SHOULDER, 0]


def test_hands_are_the_right_ones(seen: Seen) -> None:
    marks = seen.detection.landmarks
    for hand, flat, wrist in (
        (marks.left_hand_3d, marks.left_hand, LEFT_WRIST),
        (marks.right_hand_3d, marks.right_hand, RIGHT_WRIST),
    ):
        assert hand is not None
        assert flat is not None
        torso = np.linalg.norm(marks.body[11] - marks.body[23])
        assert np.linalg.norm(flat[0] - marks.body[wrist]) < 0.12 * torso
        np.testing.assert_allclose(hand[0], 0, atol=1e-7)
        assert 0.04 < np.linalg.norm(hand[9]) < 0.13
        # Arms hang: fingertips are below the wrist in the picture and in the world.
        assert flat[12, 1] > flat[0, 1]
        assert hand[12, 1] < -0.05


def test_face_axes(seen: Seen) -> None:
    marks = seen.detection.landmarks
    assert marks.face is not None
    assert marks.face_3d is not None
    forehead, chin, nose = 10, 152, 1
    np.testing.assert_allclose(marks.face_3d[nose], 0, atol=1e-6)
    assert marks.face_3d[forehead, 1] > 0 > marks.face_3d[chin, 1]
    assert marks.face_3d[[234, 454], 2].max() < 0, "cheeks lie behind the nose"
    np.testing.assert_allclose(
        marks.face_3d[chin, :2], (marks.face[chin] - marks.face[nose]) * [1, -1], atol=1e-3
    )


def test_no_person(models: MediapipeModels) -> None:
    v, u = np.mgrid[:300, :400]
    scene = np.stack([u * 0.6, v * 0.8, 200 - u * 0.4], -1).astype(np.uint8)
    with pytest.raises(HumanRefError) as caught:
        MediapipeLandmarks(models).estimate(as_photo(scene), None, None)
    assert caught.value.code == "no_person"


def two_people(seen: Seen) -> np.ndarray:
    """The example's person twice: small on the left, larger on the right."""
    photo = set_on(seen, np.array([0.55, 0.6, 0.62]))
    canvas = np.full((700, 900, 3), (140, 153, 158), np.uint8)
    rgb = (photo.rgb * 255).astype(np.uint8)
    for height, left in ((400, 60), (660, 400)):
        width = round(rgb.shape[1] * height / rgb.shape[0])
        figure = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        canvas[680 - height : 680, left : left + width] = figure
    return canvas


def test_several_people_largest_and_by_index(seen: Seen, models: MediapipeModels) -> None:
    photo = as_photo(two_people(seen))
    finder = MediapipeLandmarks(models)
    largest = finder.estimate(photo, None, None)
    assert (largest.people, largest.person) == (2, 1)
    assert [code for code, _ in largest.warnings] == ["several_people"]
    assert largest.landmarks.body[NOSE, 0] > 450
    assert largest.others is not None
    assert largest.others[400:600, 150:250].any()
    assert not largest.others[:, 450:].any()
    left = finder.estimate(photo, None, 0)
    assert left.landmarks.body[NOSE, 0] < 400
    with pytest.raises(HumanRefError) as caught:
        finder.estimate(photo, None, 2)
    assert caught.value.code == "person_index"


def test_a_tiny_person_is_refused(seen: Seen, models: MediapipeModels) -> None:
    rgb = (set_on(seen, np.array([0.55, 0.6, 0.62])).rgb * 255).astype(np.uint8)
    canvas = np.full((256, 256, 3), (140, 153, 158), np.uint8)
    height = 118
    width = round(rgb.shape[1] * height / rgb.shape[0])
    canvas[100 : 100 + height, 90 : 90 + width] = cv2.resize(
        rgb, (width, height), interpolation=cv2.INTER_AREA
    )
    with pytest.raises(HumanRefError) as caught:
        MediapipeLandmarks(models).estimate(as_photo(canvas), None, None)
    assert caught.value.code == "person_too_small"


def test_a_small_figure_in_a_large_photo_is_found(seen: Seen, models: MediapipeModels) -> None:
    rgb = (set_on(seen, np.array([0.55, 0.6, 0.62])).rgb * 255).astype(np.uint8)
    canvas = np.full((1000, 2000, 3), (140, 153, 158), np.uint8)
    figure = cv2.resize(rgb, (195, 260), interpolation=cv2.INTER_AREA)
    canvas[700:960, 1700:1895] = figure
    found = MediapipeLandmarks(models).estimate(as_photo(canvas), None, None)
    scale = 260 / rgb.shape[0]
    wanted = seen.detection.landmarks.body * scale + [1700, 700]
    error = np.linalg.norm(found.landmarks.body - wanted, axis=1)
    assert np.median(error) < 0.04 * 260


def test_a_photo_that_ends_at_the_hips(seen: Seen, models: MediapipeModels) -> None:
    hips = int(seen.detection.landmarks.body[[23, 24], 1].mean())
    cropped = as_photo(seen.photo.rgb[: hips - 20])
    found = MediapipeLandmarks(models).estimate(cropped, None, None)
    assert "cropped_body" in [code for code, _ in found.warnings]
    below = found.landmarks.body[:, 1] > cropped.rgb.shape[0]
    assert below[[LEFT_ANKLE, RIGHT_ANKLE]].all()
    assert found.landmarks.visibility[below].max() <= 0.1
    assert found.landmarks.visibility[[NOSE, LEFT_SHOULDER, RIGHT_SHOULDER]].min() > 0.5

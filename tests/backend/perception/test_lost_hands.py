"""An arm whose wrist was told on the trunk: found again where the silhouette ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from perception_support import Seen

from backend.perception.landmarks import MediapipeLandmarks
from backend.perception.lost_hands import move_wrist, where_an_arm_ends
from backend.perception.mediapipe_models import HandResult, HolisticResult, MediapipeModels
from backend.perception.people import FoundPerson

LEFT_ELBOW, LEFT_WRIST, RIGHT_WRIST = 13, 15, 16
LEFT_HAND = [15, 17, 19, 21]


def spread_arms(*, wrist: tuple[float, float]) -> FoundPerson:
    """A cross of 100 x 100 pixels that faces us, with a left wrist told at ``wrist``."""
    mask = np.zeros((100, 100), np.float32)
    mask[10:90, 40:60] = 1.0
    mask[25:32, 5:95] = 1.0
    body = np.full((33, 4), 50.0, np.float32)
    for landmark, place in {
        **{11: (58, 25), 12: (42, 25), 23: (56, 55), 24: (44, 55), 25: (55, 70), 26: (45, 70)},
        **{13: (75, 28), 14: (25, 28), 15: wrist, 16: (8, 28)},
    }.items():
        body[landmark, :2] = place
    return FoundPerson(body, np.zeros((33, 3), np.float32), None, None, None, mask)


def test_the_arm_ends_where_the_silhouette_does() -> None:
    person = spread_arms(wrist=(58.0, 50.0))
    found = where_an_arm_ends(person, "left")
    assert found is not None
    # 90 % of the trunk wide, its middle 15 % inwards from the outermost pixel.
    np.testing.assert_allclose(found.center, [94 - 0.15 * 30.0, 25], atol=0.2)
    assert abs(found.length - 27.0) < 0.2
    assert where_an_arm_ends(person, "right") is None
    assert where_an_arm_ends(spread_arms(wrist=(90.0, 28.0)), "left") is None


def test_a_wrist_moves_with_its_knuckles_in_the_elbows_depth() -> None:
    person = spread_arms(wrist=(58.0, 50.0))
    body, world = person.body[:, :2].astype(float), np.zeros((33, 3))
    world[[11, 12], 1] = 0.6
    world[LEFT_ELBOW] = (0.4, 0.5, 0.1)
    hand = np.array([[90.0 + k, 30.0] for k in range(21)])
    before = body.copy()
    move_wrist(body, world, "left", hand)
    np.testing.assert_array_equal(body[LEFT_HAND], hand[[0, 17, 5, 2]])
    others = np.setdiff1d(np.arange(33), LEFT_HAND)
    np.testing.assert_array_equal(body[others], before[others])
    # 30 pixels of trunk are 0.6 m: the wrist lies 15 pixels outwards and 2 down from the elbow.
    np.testing.assert_allclose(world[LEFT_WRIST], [0.4 + 15 * 0.02, 0.5 - 2 * 0.02, 0.1])


class Misled(MediapipeModels):
    """The models, but the left wrist lies on the right hip, and no hand was tracked there."""

    def __init__(self, models: MediapipeModels) -> None:
        self._models = models

    def holistic(self, picture: np.ndarray) -> HolisticResult | None:
        found = self._models.holistic(picture)
        if found is None:
            return None
        body = found.body.copy()
        body[LEFT_HAND, :2] = body[24, :2]
        return replace(found, body=body, left_hand=None)

    def hands(self, picture: np.ndarray) -> list[HandResult]:
        return self._models.hands(picture)


def test_a_wrist_told_on_the_trunk_is_found_at_its_hand(
    seen: Seen, models: MediapipeModels
) -> None:
    honest = seen.detection.landmarks
    found = MediapipeLandmarks(Misled(models)).estimate(seen.photo, None, None).landmarks
    assert honest.left_hand is not None
    assert found.left_hand is not None
    trunk = np.linalg.norm(honest.body[11] - honest.body[23])
    for landmark in (LEFT_WRIST, RIGHT_WRIST):
        assert np.linalg.norm(found.body[landmark] - honest.body[landmark]) < 0.15 * trunk
    assert np.abs(found.left_hand - honest.left_hand).max() < 0.15 * trunk

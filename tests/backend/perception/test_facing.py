"""Someone taken for seen from behind: a second thought, and what is made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from perception_support import Seen

from backend.perception import facing
from backend.perception.facing import faces_away, seen_as_front, turned_round
from backend.perception.landmarks import MediapipeLandmarks
from backend.perception.mediapipe_models import HandResult, HolisticResult, MediapipeModels
from backend.perception.people import FoundPerson
from backend.perception.subject import OTHER_SIDE

LEFT_SHOULDER, RIGHT_SHOULDER, NOSE = 11, 12, 0
SIDE = 60


def person(*, front: bool, face: bool = False) -> FoundPerson:
    rng = np.random.default_rng(0)
    body = rng.uniform(0.0, SIDE, (33, 4)).astype(np.float32)
    body[[LEFT_SHOULDER, RIGHT_SHOULDER], 0] = (40.0, 20.0) if front else (20.0, 40.0)
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[10:50, 20:40] = 1.0
    world = rng.normal(size=(33, 3)).astype(np.float32)
    points = np.full((478, 3), 30.0, np.float32) if face else None
    hand = np.full((21, 3), 25.0, np.float32)
    return FoundPerson(body, world, points, hand, None, mask)


def second_thought(
    monkeypatch: pytest.MonkeyPatch, *answers: FoundPerson | None
) -> FoundPerson | None:
    """Of someone found facing away, whose other looks give ``answers``."""
    given = iter(answers)
    monkeypatch.setattr(facing, "look", lambda *_: next(given))
    picture = np.full((SIDE, SIDE, 3), 128, np.uint8)
    unused = MediapipeModels.__new__(MediapipeModels)
    return seen_as_front(unused, picture, person(front=False))


FRONT, AWAY = person(front=True), person(front=False)
FACE = person(front=True, face=True)


@pytest.mark.parametrize(
    ("answers", "is_front"),
    [
        ((FRONT, FRONT, FRONT, AWAY), True),
        ((FRONT, None, FRONT, FRONT), True),
        ((FRONT, AWAY, AWAY, FACE), True),
        ((FRONT, FRONT, AWAY, AWAY), False),
        ((FACE, AWAY, AWAY, AWAY), False),
        ((AWAY, AWAY, person(front=False, face=True), FRONT), False),
        ((None, None, None, None), False),
    ],
)
def test_three_fronts_or_two_with_a_face(monkeypatch, answers, is_front) -> None:
    found = second_thought(monkeypatch, *answers)
    assert (found is not None) == is_front
    assert found is None or not faces_away(found)


def test_a_profile_is_neither_front_nor_back() -> None:
    beside = person(front=True)
    beside.body[[23, 24], :2] = (30.0, 40.0)
    beside.body[[LEFT_SHOULDER, RIGHT_SHOULDER], :2] = ((29.0, 10.0), (32.0, 10.0))
    assert not faces_away(beside)
    beside.body[[LEFT_SHOULDER, RIGHT_SHOULDER], 0] = (26.0, 34.0)
    assert faces_away(beside)


def test_a_face_is_kept_but_never_a_mirrored_one(monkeypatch) -> None:
    plain = second_thought(monkeypatch, FRONT, FACE, AWAY, AWAY)
    assert plain is not None
    assert plain.face is FACE.face
    mirrored = second_thought(monkeypatch, FRONT, AWAY, FACE, AWAY)
    assert mirrored is not None
    assert mirrored.face is None


def test_turned_round_exchanges_sides_and_depth_and_nothing_else() -> None:
    before = person(front=False)
    after = turned_round(before)
    np.testing.assert_array_equal(after.body[:, [0, 1, 3]], before.body[OTHER_SIDE][:, [0, 1, 3]])
    np.testing.assert_array_equal(after.body_world[:, 2], -before.body_world[OTHER_SIDE, 2])
    assert after.right_hand is before.left_hand
    again = turned_round(after)
    np.testing.assert_array_equal(again.body, before.body)
    np.testing.assert_array_equal(again.body_world, before.body_world)


class Mistaken(MediapipeModels):
    """The models, but the first looks, or all, take a front for a back."""

    def __init__(self, models: MediapipeModels, looks: float) -> None:
        self._models, self._left = models, looks

    def holistic(self, picture: np.ndarray) -> HolisticResult | None:
        found = self._models.holistic(picture)
        self._left -= 1
        if found is None or self._left < 0:
            return found
        signs = np.array([1.0, 1.0, -1.0], np.float32)
        body, world = found.body[OTHER_SIDE], found.body_world[OTHER_SIDE] * signs
        return replace(found, body=body, body_world=world, face=None)

    def hands(self, picture: np.ndarray) -> list[HandResult]:
        return self._models.hands(picture)


def test_a_front_taken_for_a_back_is_a_front_again(seen: Seen, models: MediapipeModels) -> None:
    """Two looks find the person and look closer; both are wrong here, later ones right."""
    finder = MediapipeLandmarks(Mistaken(models, 2))
    found, honest = finder.estimate(seen.photo, None, None), seen.detection.landmarks
    assert found.warnings == ()
    assert np.abs(found.landmarks.body - honest.body).max() < 2.0
    assert found.landmarks.body_3d[NOSE, 2] > 0.0
    assert found.landmarks.face is not None


def test_who_turns_their_back_stays_and_the_user_hears_of_it(
    seen: Seen, models: MediapipeModels
) -> None:
    finder = MediapipeLandmarks(Mistaken(models, np.inf))
    found = finder.estimate(seen.photo, None, None)
    assert [code for code, _ in found.warnings] == ["seen_from_behind"]
    body = found.landmarks.body
    assert body[LEFT_SHOULDER, 0] < body[RIGHT_SHOULDER, 0]

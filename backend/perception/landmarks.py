"""Landmarks of the chosen person (3.1: what the SMPL-X fit starts from)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from backend.errors import HumanRefError
from backend.geometry.frames import CropFrame
from backend.geometry.resampling import crop_map
from backend.perception.backdrop import Backdrop, detection_picture
from backend.perception.facing import faces_away, seen_as_front
from backend.perception.lost_hands import Side, move_wrist, where_an_arm_ends
from backend.perception.mediapipe_models import HandResult, MediapipeModels
from backend.perception.people import (
    FoundPerson,
    find_people,
    look,
    paint_over,
    window_around,
)
from backend.perception.subject import Landmarks, Photo

MIN_PERSON_HEIGHT = 128
"""A smaller figure carries too little to build a character from, pixels."""
FROM_MEDIAPIPE = np.array([1.0, -1.0, -1.0], np.float32)
"""MediaPipe: x right, y down, z away from the camera. Ours: x right, y up, z towards the camera."""
_NOSE_TIP = 1
_HAND_JOINTS = {"left": (15, 19), "right": (16, 20)}
_WRIST_TO_KNUCKLE = 0.095
_HAND_PICTURE = 320


@dataclass(frozen=True)
class Detection:
    """The chosen person, as the later stages of perception need them.

    Attributes:
        landmarks: see :class:`Landmarks`.
        prior: soft person mask of the detector, photo size; coarse at its edge.
        others: True where other people stand (they are background here), or None.
        people: how many were found; ``person`` is the chosen one's number from the left, from 0.
        warnings: (code, sentence) pairs.
    """

    landmarks: Landmarks
    prior: Float[np.ndarray, "h w"]
    others: Bool[np.ndarray, "h w"] | None
    people: int
    person: int
    warnings: tuple[tuple[str, str], ...]


@runtime_checkable
class LandmarkEstimator(Protocol):
    """Finds a person and their landmarks."""

    name: str

    def estimate(self, photo: Photo, backdrop: Backdrop | None, person: int | None) -> Detection:
        """The largest person, or number ``person`` from the left (from 0).

        Raises:
            HumanRefError: ``no_person``, ``person_index``, ``person_too_small``.
        """


class MediapipeLandmarks:
    """MediaPipe Holistic (complexity 1): once on the photo, once on the person, once a hand."""

    name = "mediapipe-holistic"

    def __init__(self, models: MediapipeModels) -> None:
        self._models = models

    def estimate(self, photo: Photo, backdrop: Backdrop | None, person: int | None) -> Detection:
        """See :class:`LandmarkEstimator`."""
        picture = detection_picture(photo, backdrop)
        people = find_people(self._models, picture)
        index = _chosen(people, person)
        warnings: list[tuple[str, str]] = []
        if len(people) > 1:
            how = "the largest" if person is None else "as asked"
            warnings.append(
                (
                    "several_people",
                    f"{len(people)} people found; taken: number {index} from the left, counted "
                    f"from 0 ({how}). Choose another with --person.",
                )
            )
        first = people[index]
        others = _others(people, index)
        if others is not None:
            picture = paint_over(picture, others)
        refined = self._second_look(picture, first)
        if refined.height < MIN_PERSON_HEIGHT:
            raise HumanRefError(
                "person_too_small",
                f"The person is {refined.height} pixels tall in this photo; at least "
                f"{MIN_PERSON_HEIGHT} are needed.",
                "Use a larger photo, or crop it around the person before scaling it down.",
            )
        if faces_away(refined):
            front = seen_as_front(self._models, picture, refined)
            if front is not None:
                refined = front
            else:
                warnings.append(
                    (
                        "seen_from_behind",
                        "The person seems to be seen from behind; the face will be a guess. If they "
                        "do face the camera, turn the body round in Blender, or use another photo.",
                    )
                )
        landmarks = self._landmarks(picture, refined)
        warnings += _cut_off(landmarks)
        return Detection(landmarks, refined.mask, others, len(people), index, tuple(warnings))

    def _second_look(self, picture: UInt8[np.ndarray, "h w 3"], first: FoundPerson) -> FoundPerson:
        """The same person on their own crop: finer hands, face and mask."""
        window = window_around(first, 0.15, picture.shape[0], picture.shape[1])
        second = look(self._models, picture, window)
        if second is None:
            return first
        torso = [11, 12, 23, 24]
        moved = np.linalg.norm(second.body[torso, :2] - first.body[torso, :2], axis=1).mean()
        return first if moved > 0.2 * max(window[2] - window[0], window[3] - window[1]) else second

    def _landmarks(self, picture: UInt8[np.ndarray, "h w 3"], person: FoundPerson) -> Landmarks:
        height, width = picture.shape[:2]
        body = person.body[:, :2].copy()
        visibility = person.body[:, 3].copy()
        outside = (body[:, 0] < 0) | (body[:, 0] > width) | (body[:, 1] < 0) | (body[:, 1] > height)
        visibility[outside] = np.minimum(visibility[outside], 0.1)
        world = person.body_world * FROM_MEDIAPIPE
        world = world - (world[23] + world[24]) / 2.0
        left = self._hand(picture, person, "left", visibility)
        right = self._hand(picture, person, "right", visibility)
        if left is None:
            left = self._lost_hand(picture, person, "left", body, world)
        if right is None:
            right = self._lost_hand(picture, person, "right", body, world)
        face = face_3d = None
        if person.face is not None:
            face = person.face[:, :2].copy()
            face_3d = (person.face - person.face[_NOSE_TIP]) * FROM_MEDIAPIPE
        return Landmarks(
            body=body,
            body_3d=world,
            visibility=visibility,
            left_hand=None if left is None else left[0],
            left_hand_3d=None if left is None else left[1],
            right_hand=None if right is None else right[0],
            right_hand_3d=None if right is None else right[1],
            face=face,
            face_3d=face_3d,
        )

    def _hand(
        self,
        picture: UInt8[np.ndarray, "h w 3"],
        person: FoundPerson,
        side: Side,
        visibility: Float[np.ndarray, "33"],
    ) -> tuple[Float[np.ndarray, "21 2"], Float[np.ndarray, "21 3"]] | None:
        """One hand if it is seen: photo pixels, and metres from the wrist in world axes."""
        wrist_index, knuckle_index = _HAND_JOINTS[side]
        if visibility[wrist_index] < 0.3:
            return None
        wrist, knuckle = person.body[wrist_index, :2], person.body[knuckle_index, :2]
        shoulders = person.body[[11, 12], :2].mean(0)
        torso = float(np.linalg.norm(shoulders - person.body[[23, 24], :2].mean(0)))
        center = wrist + 0.6 * (knuckle - wrist)
        length = max(0.9 * torso, 32.0)
        candidates = [
            (hand, float(np.linalg.norm(hand.points[0] - wrist)) / length)
            for hand in self._hands_around(picture, center, length)
        ]
        best = _best_hand(candidates, side)
        if best is not None:
            return best.points, (best.world - best.world[0]) * FROM_MEDIAPIPE
        tracked = person.left_hand if side == "left" else person.right_hand
        if tracked is None or np.linalg.norm(tracked[0, :2] - wrist) > 0.25 * length:
            return None
        relative = (tracked - tracked[0]) * FROM_MEDIAPIPE
        size = max(float(np.linalg.norm(relative[9])), 1e-6)
        return tracked[:, :2].copy(), relative * np.float32(_WRIST_TO_KNUCKLE / size)

    def _lost_hand(
        self,
        picture: UInt8[np.ndarray, "h w 3"],
        person: FoundPerson,
        side: Side,
        body: Float[np.ndarray, "33 2"],
        world: Float[np.ndarray, "33 3"],
    ) -> tuple[Float[np.ndarray, "21 2"], Float[np.ndarray, "21 3"]] | None:
        """A hand where the silhouette ends, far from the wrist that was told; as :meth:`_hand`.

        Its wrist takes the place of the told one in ``body`` and ``world``.
        """
        place = where_an_arm_ends(person, side)
        if place is None:
            return None
        seen = self._hands_around(picture, place.center, place.length)
        best = max(
            (hand for hand in seen if hand.is_left == (side == "left")),
            key=lambda hand: hand.score,
            default=None,
        )
        if best is None:
            return None
        move_wrist(body, world, side, best.points)
        return best.points, (best.world - best.world[0]) * FROM_MEDIAPIPE

    def _hands_around(
        self, picture: UInt8[np.ndarray, "h w 3"], center: Float[np.ndarray, "2"], length: float
    ) -> list[HandResult]:
        """Hands in a square of ``length`` pixels, their points in photo pixels."""
        crop = CropFrame(float(center[0]), float(center[1]), length / 2.0)

        def in_photo(points: Float[np.ndarray, "21 2"]) -> Float[np.ndarray, "21 2"]:
            return crop.to_photo((points * (2.0 / _HAND_PICTURE) - 1.0) * np.array([1.0, -1.0]))

        seen = self._models.hands(crop_map(picture, crop, _HAND_PICTURE))
        return [replace(hand, points=in_photo(hand.points)) for hand in seen]


def _best_hand(candidates: list[tuple[HandResult, float]], side: str) -> HandResult | None:
    """The hand nearest to the wrist; the right side of the body counts for a quarter of a crop."""
    best, cost = None, 0.35
    for hand, distance in candidates:
        penalty = 0.0 if hand.is_left == (side == "left") else 0.25 * hand.score
        if distance + penalty < cost:
            best, cost = hand, distance + penalty
    return best


def _chosen(people: list[FoundPerson], person: int | None) -> int:
    if not people:
        raise HumanRefError(
            "no_person",
            "No person was found in this photo.",
            "Use a photo in which one person is clearly visible, best from head to feet.",
        )
    if person is None:
        return int(np.argmax([found.area for found in people]))
    if not 0 <= person < len(people):
        count = len(people)
        raise HumanRefError(
            "person_index",
            f"There is no person number {person}: {count} "
            f"{'person was' if count == 1 else 'people were'} found.",
            f"Give a number from 0 (leftmost) to {count - 1}.",
        )
    return person


def _others(people: list[FoundPerson], index: int) -> Bool[np.ndarray, "h w"] | None:
    if len(people) == 1:
        return None
    others = np.max([found.mask for k, found in enumerate(people) if k != index], axis=0)
    return np.asarray((others > 0.5) & (others > people[index].mask))


def _cut_off(landmarks: Landmarks) -> list[tuple[str, str]]:
    """Warnings about parts of the body that the photo does not show."""
    seen = landmarks.visibility > 0.5
    warnings: list[tuple[str, str]] = []
    if not seen[[27, 28]].any():
        where = "knees" if seen[[25, 26]].any() else "hips" if seen[[23, 24]].any() else "waist"
        warnings.append(
            (
                "cropped_body",
                f"The photo shows the person only down to the {where}; the rest comes from the "
                "body model.",
            )
        )
    if not seen[[0, 7, 8]].any():
        warnings.append(
            ("head_not_seen", "The head is hidden or outside the photo; it is a guess.")
        )
    return warnings

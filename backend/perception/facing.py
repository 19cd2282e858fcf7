"""Does the person face the camera? The detector's first answer, and a second thought where it says no.

With hair over half a face MediaPipe now and then takes someone for seen from behind and exchanges left
and right, and the fitted body then stands back to front: of 64 synthetic people 4 came out so. Other
looks at the same picture tell them from people who do turn their back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.people import FoundPerson, look, window_around
from backend.perception.subject import OTHER_SIDE

_SHOULDERS, _HIPS = [11, 12], [23, 24]
_PROFILE = 0.15
"""Lengths of the trunk that shoulders lie apart at least, of someone who is not in profile."""
_PADDING = 0.08
_UPPER_BODY = 0.62
"""Share of the person's height that the looks at the upper body alone see."""
_BRIGHTER = 0.6
"""Exponent of sRGB values: the shadows of hair and dark skin open."""


def faces_away(person: FoundPerson) -> bool:
    """Whether the left shoulder is clearly on the picture's left, as it is seen from behind.

    People in profile (28 pictures) have shoulders at most .14 of their trunk's length apart there.
    """
    body = person.body[:, :2].astype(np.float64)
    trunk = np.linalg.norm(body[_SHOULDERS].mean(0) - body[_HIPS].mean(0))
    return bool(_shoulders_apart(person) < -_PROFILE * trunk)


def _shoulders_apart(person: FoundPerson) -> float:
    """How far the left shoulder lies to the picture's right of the right one, as it does in front."""
    left, right = person.body[_SHOULDERS, 0]
    return float(left - right)


def seen_as_front(
    models: MediapipeModels, picture: UInt8[np.ndarray, "h w 3"], person: FoundPerson
) -> FoundPerson | None:
    """Someone found facing away, as a front after all; None when they do turn their back.

    The mirror image, a brighter picture, the upper body and its mirror image are looked at: three must
    see a front, or two, of which one sees a face. Of 108 pictures of people drawn from behind one passed.
    """
    height, width = picture.shape[:2]
    whole = window_around(person, _PADDING, height, width)
    rows = np.flatnonzero((person.mask > 0.5).any(1))
    upper = (*whole[:3], int(rows[0] + _UPPER_BODY * (rows[-1] - rows[0])) + 1)
    mirror = np.ascontiguousarray(picture[:, ::-1])
    brighter = (255.0 * (picture / 255.0) ** _BRIGHTER).astype(np.uint8)
    # In a mirror a front is a front.
    bright = _front(look(models, brighter, whole))
    above = _front(look(models, picture, upper))
    mirrored = _front(look(models, mirror, _in_mirror(whole, width)))
    above_mirrored = _front(look(models, mirror, _in_mirror(upper, width)))
    fronts = [found for found in (bright, above, mirrored, above_mirrored) if found is not None]
    if len(fronts) < (2 if any(found.face is not None for found in fronts) else 3):
        return None
    front = turned_round(person)
    # A mirrored face's points would be another's.
    face = next((found.face for found in (bright, above) if found and found.face is not None), None)
    return front if face is None else replace(front, face=face)


def _front(person: FoundPerson | None) -> FoundPerson | None:
    return person if person is not None and _shoulders_apart(person) > 0.0 else None


def turned_round(person: FoundPerson) -> FoundPerson:
    """The same outline read the other way: left and right exchanged, near and far too."""

    def exchanged(points: Float[np.ndarray, "33 k"]) -> Float[np.ndarray, "33 k"]:
        turned = points[OTHER_SIDE]
        turned[:, 2] *= -1.0
        return turned

    return replace(
        person,
        body=exchanged(person.body),
        body_world=exchanged(person.body_world),
        left_hand=person.right_hand,
        right_hand=person.left_hand,
    )


def _in_mirror(window: tuple[int, int, int, int], width: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = window
    return width - right, top, width - left, bottom

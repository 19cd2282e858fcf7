"""An arm that the detector lost: its wrist is told on the trunk, and its hand is somewhere else.

On patterned clothes, whose sleeves look like the trunk, MediaPipe now and then lays a spread arm along the
body (3 arms of 144, 23 to 29 cm off). The silhouette shows the arm, and MediaPipe's hand model sees the hand
at its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from backend.perception.people import FoundPerson

Side = Literal["left", "right"]
# Elbow, wrist, and the knuckles that hang on the wrist, with the hand model's points for them.
_ARM: dict[Side, tuple[int, int]] = {"left": (13, 15), "right": (14, 16)}
_KNUCKLES: dict[Side, dict[int, int]] = {
    "left": {17: 17, 19: 5, 21: 2},
    "right": {18: 17, 20: 5, 22: 2},
}
_SHOULDERS, _HIPS, _KNEES = [11, 12], [23, 24], [25, 26]
_FAR = 0.4
"""Lengths of the trunk from the told wrist to the silhouette's end from which on an arm is lost. Rightly
told wrists: .28 at most."""
_INWARDS, _LENGTH = 0.15, 0.9


@dataclass(frozen=True)
class Surroundings:
    """A square of the photo, pixels."""

    center: Float[np.ndarray, "2"]
    length: float


def where_an_arm_ends(person: FoundPerson, side: Side) -> Surroundings | None:
    """Around the silhouette's outermost point above the knees on that side; None where the wrist is near."""
    body = person.body[:, :2].astype(np.float64)
    trunk = float(np.linalg.norm(body[_SHOULDERS].mean(0) - body[_HIPS].mean(0)))
    rows, columns = np.nonzero(person.mask > 0.5)
    above = rows < body[_KNEES, 1].mean()
    if trunk < 1.0 or not above.any():
        return None
    faces = body[_SHOULDERS[0], 0] > body[_SHOULDERS[1], 0]
    outwards = 1.0 if faces == (side == "left") else -1.0
    end = int(np.argmax(outwards * columns[above]))
    tip = np.array([columns[above][end], rows[above][end]], np.float64)
    if np.linalg.norm(tip - body[_ARM[side][1]]) < _FAR * trunk:
        return None
    return Surroundings(tip - [outwards * _INWARDS * trunk, 0.0], _LENGTH * trunk)


def move_wrist(
    body: Float[np.ndarray, "33 2"],
    world: Float[np.ndarray, "33 3"],
    side: Side,
    hand: Float[np.ndarray, "21 2"],
) -> None:
    """Hang wrist and knuckles on a hand, in place.

    Args:
        body: landmarks, photo pixels.
        world: metres (y up, z towards the camera). The moved points stay in the elbow's plane of depth.
        hand: its 21 points, photo pixels.
    """
    elbow, wrist = _ARM[side]
    # The trunk's lengths in both say how many pixels a metre is.
    apart = body[_SHOULDERS].mean(0) - body[_HIPS].mean(0)
    metres = world[_SHOULDERS].mean(0)[:2] - world[_HIPS].mean(0)[:2]
    scale = float(np.linalg.norm(metres)) / max(float(np.linalg.norm(apart)), 1e-6)
    for landmark, point in {wrist: 0, **_KNUCKLES[side]}.items():
        body[landmark] = hand[point]
        away = (body[landmark] - body[elbow]) * [scale, -scale]
        world[landmark] = world[elbow] + np.append(away, 0.0)

"""Who is in the photo: everyone MediaPipe can find, found one by one.

MediaPipe names the most prominent person only. Each person found is painted over with what
surrounds them and the picture is looked at again, until nobody new turns up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from backend.perception.mediapipe_models import HolisticResult, MediapipeModels

MAX_PEOPLE = 6
_WORKING_SIDE = 1024
_MIN_WORKING_SIDE = 512
_MIN_WINDOW = 128
_TORSO = [11, 12, 23, 24]


@dataclass(frozen=True)
class FoundPerson:
    """A person in photo pixels: landmarks (u, v, z, visibility), their metres and a soft mask."""

    body: Float[np.ndarray, "33 4"]
    body_world: Float[np.ndarray, "33 3"]
    face: Float[np.ndarray, "478 3"] | None
    left_hand: Float[np.ndarray, "21 3"] | None
    right_hand: Float[np.ndarray, "21 3"] | None
    mask: Float[np.ndarray, "h w"]

    @property
    def area(self) -> int:
        """Pixels more likely inside than not."""
        return int(np.count_nonzero(self.mask > 0.5))

    @property
    def height(self) -> int:
        """Visible rows."""
        rows = np.flatnonzero((self.mask > 0.5).any(1))
        return int(rows[-1] - rows[0] + 1) if rows.size else 0

    @property
    def center_u(self) -> float:
        """Horizontal middle of the visible pixels."""
        columns = np.flatnonzero((self.mask > 0.5).any(0))
        return float(columns.mean()) if columns.size else float(self.body[:, 0].mean())

    def outline(self) -> Float[np.ndarray, "n 2"]:
        """Points that bound what is visible of the person, photo pixels."""
        rows, columns = np.nonzero(self.mask > 0.5)
        height, width = self.mask.shape
        seen = self.body[self.body[:, 3] > 0.5, :2]
        corners = np.array(
            [[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32
        )
        points = np.concatenate([seen.astype(np.float32), corners])
        return np.asarray(np.clip(points, 0.0, np.array([width, height], np.float32)))


def find_people(models: MediapipeModels, picture: UInt8[np.ndarray, "h w 3"]) -> list[FoundPerson]:
    """Everyone found, from left to right; empty when there is nobody.

    Searched at up to 1024 px: who is chosen gets a second look at full size.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    hidden = np.zeros(canvas.shape[:2], bool)
    people: list[FoundPerson] = []
    while len(people) < MAX_PEOPLE:
        person = look(models, canvas, (0, 0, canvas.shape[1], canvas.shape[0]))
        if person is None and not people:
            person = _look_closer(models, canvas)
        if person is None or not _is_new(person, hidden, bool(people)):
            break
        people.append(person)
        hidden |= _grown(person.mask > 0.3, max(2, person.height // 40))
        canvas = paint_over(canvas, hidden)
    people.sort(key=lambda found: found.center_u)
    return (
        people if scale == 1 else [_scaled(found, 1.0 / scale, height, width) for found in people]
    )


def _scaled(person: FoundPerson, scale: float, height: int, width: int) -> FoundPerson:
    """A person found on a smaller picture, in the photo's pixels."""

    def grown(points: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        points = points.copy()
        points[:, :3] *= scale
        return points

    return replace(
        person,
        body=grown(person.body),
        face=None if person.face is None else grown(person.face),
        left_hand=None if person.left_hand is None else grown(person.left_hand),
        right_hand=None if person.right_hand is None else grown(person.right_hand),
        mask=np.asarray(cv2.resize(person.mask, (width, height), interpolation=cv2.INTER_LINEAR)),
    )


def window_around(
    person: FoundPerson, padding: float, height: int, width: int
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a person's surroundings that lie inside the photo.

    Nothing is added beyond the photo: below a half-length portrait, any filling (grey, repeated or
    mirrored edges) makes the detector squeeze a whole body into the half that is there.
    """
    points = person.outline()
    low, high = points.min(0), points.max(0)
    half = (0.5 + padding) * float((high - low).max())
    center = (low + high) / 2.0
    return (
        max(0, int(center[0] - half)),
        max(0, int(center[1] - half)),
        min(width, int(np.ceil(center[0] + half))),
        min(height, int(np.ceil(center[1] + half))),
    )


def look(
    models: MediapipeModels,
    picture: UInt8[np.ndarray, "h w 3"],
    window: tuple[int, int, int, int],
) -> FoundPerson | None:
    """The most prominent person of a window (left, top, right, bottom) of the picture, or None."""
    height, width = picture.shape[:2]
    left, top, right, bottom = window
    part = picture[top:bottom, left:right]
    longest = max(part.shape[:2])
    scale = float(np.clip(longest, _MIN_WORKING_SIDE, _WORKING_SIDE)) / longest
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    found = models.holistic(
        cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    )
    if found is None:
        return None
    mask = np.zeros((height, width), np.float32)
    mask[top:bottom, left:right] = cv2.resize(found.mask, part.shape[1::-1])
    person = _in_photo_pixels(found, 1.0 / scale, (float(left), float(top)), mask)
    return person if person.area else None


def _look_closer(
    models: MediapipeModels, picture: UInt8[np.ndarray, "h w 3"]
) -> FoundPerson | None:
    """The largest person of overlapping squares: the detector misses small figures."""
    height, width = picture.shape[:2]
    short, long = min(height, width), max(height, width)
    side = short if long > 1.5 * short else long // 2
    while side >= _MIN_WINDOW:
        best: FoundPerson | None = None
        for top in _steps(height, side):
            for left in _steps(width, side):
                window = (left, top, min(width, left + side), min(height, top + side))
                person = look(models, picture, window)
                if person is not None and (best is None or person.area > best.area):
                    best = person
        if best is not None:
            return best
        side = side // 2 if side > long // 3 else 0
    return None


def _steps(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    count = int(np.ceil((length - side) / (side / 2.0))) + 1
    return [int(start) for start in np.linspace(0, length - side, count)]


def _in_photo_pixels(
    found: HolisticResult,
    scale: float,
    origin: tuple[float, float],
    mask: Float[np.ndarray, "h w"],
) -> FoundPerson:
    def moved(points: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        points = points.copy()
        points[:, :3] *= scale
        points[:, :2] += np.asarray(origin, points.dtype)
        return points

    return FoundPerson(
        body=moved(found.body),
        body_world=found.body_world,
        face=None if found.face is None else moved(found.face),
        left_hand=None if found.left_hand is None else moved(found.left_hand),
        right_hand=None if found.right_hand is None else moved(found.right_hand),
        mask=mask,
    )


def _is_new(person: FoundPerson, hidden: Bool[np.ndarray, "h w"], others: bool) -> bool:
    """Whether a later find is a person of their own and not a ghost where one was painted over."""
    if not others:
        return True
    inside = person.mask > 0.5
    overlap = float((inside & hidden).sum()) / max(1, int(inside.sum()))
    seen_torso = float(person.body[_TORSO, 3].mean())
    sure = float(person.mask[inside].mean()) if inside.any() else 0.0
    return overlap < 0.3 and seen_torso > 0.5 and sure > 0.8 and person.height >= 48


def paint_over(
    picture: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with the hole filled smoothly from its surroundings."""
    height, width = picture.shape[:2]
    scale = 96.0 / max(height, width)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    weight = cv2.resize((~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    visible = (picture * (~hole)[..., None]).astype(np.float32)
    color = cv2.resize(visible, size, interpolation=cv2.INTER_AREA)
    fill = np.zeros_like(color)
    left = np.ones(size[::-1], np.float32)
    # From fine to coarse: each pixel takes the finest scale that saw anything.
    for sigma in (1.5, 4.0, 12.0, 40.0):
        blurred_weight = cv2.GaussianBlur(weight, (0, 0), sigma)
        blurred = (
            cv2.GaussianBlur(color, (0, 0), sigma) / np.maximum(blurred_weight, 1e-6)[..., None]
        )
        share = left * np.clip(blurred_weight * 4.0, 0.0, 1.0)
        fill += share[..., None] * blurred
        left -= share
    fill += left[..., None] * 128.0
    large = cv2.resize(fill, (width, height), interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 2.0)[..., None]
    soft = np.maximum(soft, hole[..., None])
    return np.ascontiguousarray(
        (picture * (1.0 - soft) + large * soft).clip(0, 255).astype(np.uint8)
    )


def _grown(mask: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)

"""A sentence about the person: the text prompt of the diffusion prior (3.1), always editable."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from backend.body.model import Region
from backend.perception.color_names import color_name, dominant_color, hair_name, lab_distance
from backend.perception.subject import Landmarks, Photo

_MIN_SHARE = 0.01
_CHEEKS = (50, 101, 205, 280, 330, 425)
_SKIN_DISTANCE = 18.0


@runtime_checkable
class Captioner(Protocol):
    """Photo and regions to one English sentence without a full stop."""

    name: str

    def caption(self, photo: Photo, regions: UInt8[np.ndarray, "h w"], landmarks: Landmarks) -> str:
        """For example "a person with black hair in a grey top and black trousers"."""


class TemplateCaption:
    """Names the colours of the four regions; says nothing of what the photo does not show."""

    name = "template"

    def caption(self, photo: Photo, regions: UInt8[np.ndarray, "h w"], landmarks: Landmarks) -> str:
        """See :class:`Captioner`."""
        rgb = photo.rgb
        inside = int((regions != Region.BACKGROUND).sum())
        colors = {
            region: dominant_color(rgb[regions == region])
            for region in (Region.UPPER, Region.LOWER, Region.FEET)
            if int((regions == region).sum()) > max(20, _MIN_SHARE * inside)
        }
        skin = _skin(rgb, landmarks)
        hair = _hair(rgb, regions, landmarks, skin)
        worn = []
        if Region.UPPER in colors:
            worn.append(_with_article(f"{color_name(colors[Region.UPPER])} top"))
        if Region.LOWER in colors:
            worn.append(_lower(rgb, regions, landmarks, colors[Region.LOWER], skin))
        if Region.FEET in colors:
            bare = skin is not None and lab_distance(colors[Region.FEET], skin) < _SKIN_DISTANCE
            worn.append("bare feet" if bare else f"{color_name(colors[Region.FEET])} shoes")
        sentence = "a person"
        if hair is not None:
            sentence += f" with {hair_name(hair)} hair"
        if worn:
            sentence += " in " + _listed(worn)
        return sentence


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _listed(things: list[str]) -> str:
    if len(things) == 1:
        return things[0]
    return ", ".join(things[:-1]) + " and " + things[-1]


def _patch(
    rgb: Float[np.ndarray, "h w 3"], points: Float[np.ndarray, "n 2"], radius: int
) -> Float[np.ndarray, "m 3"]:
    height, width = rgb.shape[:2]
    rows = [int(v) for v in points[:, 1]]
    columns = [int(u) for u in points[:, 0]]
    patches = [
        rgb[max(0, r - radius) : r + radius + 1, max(0, c - radius) : c + radius + 1].reshape(-1, 3)
        for r, c in zip(rows, columns, strict=True)
        if 0 <= r < height and 0 <= c < width
    ]
    return np.concatenate(patches) if patches else np.zeros((0, 3), rgb.dtype)


def _skin(rgb: Float[np.ndarray, "h w 3"], landmarks: Landmarks) -> Float[np.ndarray, "3"] | None:
    if landmarks.face is None:
        return None
    colors = _patch(rgb, landmarks.face[list(_CHEEKS)], 1)
    return None if len(colors) == 0 else np.asarray(np.median(colors, axis=0))


def _hair(
    rgb: Float[np.ndarray, "h w 3"],
    regions: UInt8[np.ndarray, "h w"],
    landmarks: Landmarks,
    skin: Float[np.ndarray, "3"] | None,
) -> Float[np.ndarray, "3"] | None:
    """Colour above the forehead, if it is not skin."""
    if landmarks.face is None or skin is None:
        return None
    forehead, chin = landmarks.face[10], landmarks.face[152]
    rows, columns = np.nonzero(regions == Region.HEAD)
    if rows.size == 0:
        return None
    up = forehead - chin
    beyond = (np.stack([columns, rows], -1) - forehead) @ up > 0.03 * float(up @ up)
    if int(beyond.sum()) < 20:
        return None
    color = dominant_color(rgb[rows[beyond], columns[beyond]])
    return None if lab_distance(color, skin) < _SKIN_DISTANCE / 2.0 else color


def _lower(
    rgb: Float[np.ndarray, "h w 3"],
    regions: UInt8[np.ndarray, "h w"],
    landmarks: Landmarks,
    color: Float[np.ndarray, "3"],
    skin: Float[np.ndarray, "3"] | None,
) -> str:
    """Trousers, or shorts when the shins are skin and the thighs are not."""
    body, seen = landmarks.body, landmarks.visibility > 0.5
    shins = [0.5 * (body[k] + body[a]) for k, a in ((25, 27), (26, 28)) if seen[k] and seen[a]]
    if skin is None or not shins:
        return f"{color_name(color)} trousers"
    shin = _patch(rgb, np.stack(shins), max(1, regions.shape[0] // 200))
    thighs = regions == Region.LOWER
    # Worn and faded patches lie in the middle of a thigh: its whole upper half speaks.
    thighs[int(max(0.0, 0.5 * (body[[23, 24], 1].mean() + body[[25, 26], 1].mean()))) :] = False
    if len(shin) and int(thighs.sum()) > 20:
        upper_leg, lower_leg = dominant_color(rgb[thighs]), np.median(shin, axis=0)
        if (
            lab_distance(lower_leg, skin) < _SKIN_DISTANCE
            and lab_distance(upper_leg, lower_leg) > _SKIN_DISTANCE
        ):
            return f"{color_name(upper_leg)} shorts"
    return f"{color_name(color)} trousers"

"""Where head, upper body, lower body and feet meet: three cuts across the body's axes.

Proposed from the landmarks, moved to the strongest change of colour nearby (a hem, a collar, the
top of a shoe), and open to the user: a row given in photo pixels replaces the proposal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from backend.perception.subject import Landmarks


@dataclass(frozen=True)
class CutLines:
    """The user's own cuts, each a row of the photo (pixels from its top); None = proposed."""

    neck: float | None = None
    waist: float | None = None
    ankle: float | None = None


@dataclass(frozen=True)
class BodyAxes:
    """Points and lengths that the cuts and the capsules are built from, photo pixels."""

    points: Float[np.ndarray, "33 2"]
    shoulders: Float[np.ndarray, "2"]
    hips: Float[np.ndarray, "2"]
    head: Float[np.ndarray, "2"]
    chin: Float[np.ndarray, "2"]
    torso: float
    """Length from the shoulders' middle to the hips' middle, never less than the shoulders' width
    allows (a person seen from above, or bent)."""

    @staticmethod
    def of(landmarks: Landmarks) -> BodyAxes:
        """From the landmarks of one person."""
        points = landmarks.body.astype(np.float64)
        shoulders, hips = points[[11, 12]].mean(0), points[[23, 24]].mean(0)
        ears, mouth = points[[7, 8]].mean(0), points[[9, 10]].mean(0)
        width = float(np.linalg.norm(points[11] - points[12]))
        torso = max(float(np.linalg.norm(shoulders - hips)), 0.9 * width, 1.0)
        if landmarks.face is not None:
            chin = landmarks.face[152].astype(np.float64)
        else:
            chin = mouth + 0.75 * (mouth - points[0])
        return BodyAxes(points, shoulders, hips, ears, chin, torso)


@dataclass(frozen=True)
class Cut:
    """A line across an axis: pixels with ``direction . (x - point) > 0`` lie beyond it."""

    point: Float[np.ndarray, "2"]
    direction: Float[np.ndarray, "2"]

    def beyond(self, pixels: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, "n"]:
        """Which pixels lie beyond the cut."""
        return np.asarray((pixels - self.point) @ self.direction > 0)


def row_cut(row: float) -> Cut:
    """A user's cut: everything below a row of the photo."""
    return Cut(np.array([0.0, row]), np.array([0.0, 1.0]))


def neck_cut(
    axes: BodyAxes, rgb: Float[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"]
) -> Cut:
    """Across the neck; beyond = the body.

    Where skin meets cloth between chin and shoulder line, looked for near the neck's middle line;
    without a clear change (Lab distance over 12), half-way.
    """
    axis = axes.shoulders - axes.head
    length = float(np.linalg.norm(axis))
    direction = axis / length if length > 0.1 * axes.torso else np.array([0.0, 1.0])
    along = max(float((axes.shoulders - axes.chin) @ direction), 0.0)
    rows, columns = np.nonzero(inside)
    aside = np.stack([columns + 0.5, rows + 0.5], -1) - axes.chin
    central = np.zeros_like(inside)
    near = np.abs(aside @ np.array([direction[1], -direction[0]])) < 0.14 * axes.torso
    central[rows[near], columns[near]] = True
    span = (0.03, 0.9 * along / axes.torso)
    offset = strongest_change(rgb, central, axes.chin, direction, axes.torso, span, 12.0)
    place = 0.5 * along if offset is None else offset * axes.torso
    return Cut(axes.chin + place * direction, direction)


def waist_cut(
    axes: BodyAxes, rgb: Float[np.ndarray, "h w 3"], trunk: Bool[np.ndarray, "h w"]
) -> Cut:
    """Across the trunk where the colour changes most between waist and upper thigh.

    Searched from 35 % of the torso above the hips to 40 % below (a long jumper's hem); without a
    clear change (Lab distance over 12) the cut stands 8 % above the hip joints.
    """
    direction = (axes.hips - axes.shoulders) / max(
        float(np.linalg.norm(axes.hips - axes.shoulders)), 1e-6
    )
    offset = strongest_change(rgb, trunk, axes.hips, direction, axes.torso, (-0.35, 0.40), 12.0)
    return Cut(
        axes.hips + (-0.08 if offset is None else offset) * axes.torso * direction, direction
    )


def ankle_cut(
    axes: BodyAxes,
    rgb: Float[np.ndarray, "h w 3"],
    leg: Bool[np.ndarray, "h w"],
    knee: int,
    ankle: int,
) -> Cut:
    """Across one shin where trousers or skin end, near the ankle; beyond = the foot."""
    shin = axes.points[ankle] - axes.points[knee]
    length = float(np.linalg.norm(shin))
    if length < 0.15 * axes.torso:
        return Cut(axes.points[ankle], np.array([0.0, 1.0]))
    direction = shin / length
    offset = strongest_change(rgb, leg, axes.points[ankle], direction, length, (-0.18, 0.14), 12.0)
    return Cut(axes.points[ankle] + (offset or 0.0) * length * direction, direction)


def strongest_change(
    rgb: Float[np.ndarray, "h w 3"],
    part: Bool[np.ndarray, "h w"],
    origin: Float[np.ndarray, "2"],
    direction: Float[np.ndarray, "2"],
    unit: float,
    span: tuple[float, float],
    threshold: float,
) -> float | None:
    """Position along ``direction`` (in ``unit``, from ``origin``) of the clearest colour change.

    The median colours of two strips 8 % of ``unit`` wide, one before and one after each candidate,
    are compared in CIE Lab (lightness counts less: shadows are not hems). None below ``threshold``.
    """
    rows, columns = np.nonzero(part)
    if rows.size < 50:
        return None
    pixels = np.stack([columns + 0.5, rows + 0.5], -1)
    along = (pixels - origin) @ direction / unit
    strip, step = 0.08, 0.02
    edges = np.arange(span[0] - strip, span[1] + strip + step / 2.0, step)
    which = np.digitize(along, edges) - 1
    lab = srgb_to_lab(rgb[rows, columns]) * np.array([0.6, 1.0, 1.0])
    count = len(edges) - 1
    medians = np.full((count, 3), np.nan)
    for k in range(count):
        members = lab[which == k]
        if len(members) >= 5:
            medians[k] = np.median(members, axis=0)
    wide = round(strip / step)
    best, place = threshold, None
    for k in range(wide, count - wide + 1):
        before, after = medians[k - wide : k], medians[k : k + wide]
        if np.isnan(before).all() or np.isnan(after).all():
            continue
        change = float(np.linalg.norm(np.nanmean(before, 0) - np.nanmean(after, 0)))
        if change > best:
            best, place = change, float(edges[k])
    return place


def srgb_to_lab(rgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """sRGB in [0, 1] to CIE Lab (D65): L 0..100, a and b about -100..100."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    cube = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16.0 / 116.0)
    return np.stack(
        [
            116.0 * cube[..., 1] - 16.0,
            500.0 * (cube[..., 0] - cube[..., 1]),
            200.0 * (cube[..., 1] - cube[..., 2]),
        ],
        -1,
    )

"""The mirror baseline: the photo carried through the body to its back, without the face.

Not the paper's Ref-SDS: a plain baseline that stands in where no prior is asked for. A surface point
takes the photo's colour at its own (x, y): the front picture where it faces the camera, a picture
whose face is replaced by the hair around it where it faces away.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor
from torch.nn import functional

from backend.guidance.objections import Objections, front_share
from backend.guidance.protocol import CarriedPhoto, GuidedRays

# Silhouette pixels mix with the background; colours are carried outwards from this far inside.
_EDGE_PIXELS = 4
# Share of the picture over which colours fade into the invented tone beyond the photo's edge.
_FADE = 0.05

# Hair is looked for by the colour of this share of the head from above; fewer pixels tell nothing, and
# colours (sRGB) nearer than this are the same.
_CROWN, _FEWEST, _SAME_TONE = 0.25, 12, 0.06


def extend_colors(
    rgb: Shaped[np.ndarray, "h w *c"], inside: Bool[np.ndarray, "h w"]
) -> Shaped[np.ndarray, "h w *c"]:
    """Give every pixel outside ``inside`` the colour, or any value, of its nearest pixel inside (all zero
    if none)."""
    if not inside.any():
        return np.zeros_like(rgb)
    _, labels = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lookup = np.zeros((labels.max() + 1, *rgb.shape[2:]), rgb.dtype)
    lookup[labels[inside]] = rgb[inside]
    return lookup[labels]


def hide_face(
    rgb: Float[np.ndarray, "n n 3"],
    face: Bool[np.ndarray, "n n"],
    head: Bool[np.ndarray, "n n"],
) -> Float[np.ndarray, "n n 3"]:
    """Paint hair over a face, for the picture of the back of the head.

    Args:
        rgb: the photo's crop, colours already extended past the silhouette.
        face: the face's outline, filled.
        head: the head region of the parsing (face, hair and neck).

    Each face pixel takes the colour of the hair beside and above it; below the level of the mouth that of
    the neck, or of what hides it. Without visible hair (a bald head) the head's own upper rim serves.
    """
    if not face.any():
        return rgb
    rows = np.nonzero(face.any(1))[0]
    top, bottom = int(rows.min()), int(rows.max())
    nape = top + round(0.85 * (bottom - top))
    height = max(1, bottom - top)
    above = np.zeros_like(face)
    above[: top + int(0.25 * height)] = True
    margin = cv2.dilate(face.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2) > 0
    hair = _like_the_crown(rgb, head & ~margin & above, head, rgb[face])
    if hair.sum() < _FEWEST:
        rim = np.zeros_like(face)
        rim[top : top + max(2, height // 8)] = True
        hair = face & rim
    paint = head.copy()
    paint[nape:] = False
    paint[: max(0, top - height)] = False
    # Mean tone plus the hair's own texture, tiled by reflection: smooth fills look like plastic.
    tone = np.median(rgb[hair], axis=0)
    near = extend_colors(rgb, hair)
    soft = cv2.GaussianBlur(near.astype(np.float32), (0, 0), max(1.0, height / 10))
    rng = np.random.default_rng(0)
    samples = rgb[hair]
    grain = samples[rng.integers(0, len(samples), face.shape)] - tone
    grain = cv2.GaussianBlur(grain.astype(np.float32), (0, 0), 1.0)
    painted = (0.5 * soft + 0.5 * tone + grain).clip(0, 1).astype(rgb.dtype)
    # The chin gives way to what is beside it: a neck, long hair, the collar of a hood.
    low = np.zeros_like(face)
    low[nape:] = True
    chin, beside = head & low & margin, head & low & ~margin
    filled = painted
    if beside.any():
        below = cv2.GaussianBlur(low.astype(np.float32), (0, 0), 1.5)[..., None]
        filled = painted * (1 - below) + extend_colors(rgb, beside) * below
        paint |= chin
    # Wide enough that no rim of skin shines through where it ends softly.
    whole = cv2.dilate((paint & ~hair).astype(np.float32), np.ones((5, 5), np.uint8))
    weight = cv2.GaussianBlur(whole, (0, 0), 1.5)[..., None]
    return (rgb * (1 - weight) + filled * weight).astype(rgb.dtype)


def invent_unknown(
    rgb: Float[np.ndarray, "n n 3"],
    known: Bool[np.ndarray, "n n"],
    clothed: Bool[np.ndarray, "n n"],
) -> Float[np.ndarray, "n n 3"]:
    """Colours for what the photo does not reach (legs below its edge): the clothing's own middle tone.

    Nearest colours alone would be drawn out to stripes; they serve for a short way only.

    Args:
        rgb: colours already extended from the person.
        known: False where the photo says nothing.
        clothed: the person without the head, where known.
    """
    if known.all() or not clothed.any():
        return rgb
    tone = np.median(rgb[clothed], axis=0)
    away = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5)
    share = np.clip(away / (_FADE * rgb.shape[0]), 0.0, 1.0)[..., None]
    # Stripes are averaged across before they fade.
    soft = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 0.02 * rgb.shape[0])
    invented = np.where(known[..., None], rgb, soft * (1.0 - share) + tone * share)
    return invented.astype(rgb.dtype)


def _like_the_crown(
    rgb: Float[np.ndarray, "n n 3"],
    where: Bool[np.ndarray, "n n"],
    head: Bool[np.ndarray, "n n"],
    skin: Float[np.ndarray, "k 3"],
) -> Bool[np.ndarray, "n n"]:
    """Of the pixels around a face those that are hair, or what covers it: nearer in colour to the crown of
    the head than to the face, as forehead, temples and ears are not.

    All of them where crown and face look the same (a bald head, hair of the skin's tone).
    """
    crown = where & (_rows_from_above(head) < _CROWN)
    if crown.sum() < _FEWEST:
        return where
    tone, other = np.median(rgb[crown], axis=0), np.median(skin, axis=0)
    if np.linalg.norm(tone - other) < _SAME_TONE:
        return where
    nearer = np.linalg.norm(rgb - tone, axis=-1) < np.linalg.norm(rgb - other, axis=-1)
    # Dark strands and folds belong to it; pixels at the hairline are half skin.
    whole = cv2.morphologyEx(
        (where & nearer).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)
    )
    inner = (cv2.erode(whole, np.ones((3, 3), np.uint8)) > 0) & where
    return inner if inner.sum() >= _FEWEST else where


def _rows_from_above(region: Bool[np.ndarray, "n n"]) -> Float[np.ndarray, "n 1"]:
    """How far below a region's uppermost pixel each row lies, in heights of the region."""
    rows = np.nonzero(region.any(1))[0]
    height = max(1, int(np.ptp(rows)))
    return np.asarray((np.arange(len(region)) - rows.min())[:, None] / height)


class MirrorGuidance:
    """Colours of unseen sides from the photo's own pixels at the same place (see module text)."""

    name = "mirror"
    description = "mirror baseline: the photo carried to the back without its face; not Ref-SDS"

    def __init__(
        self,
        rgb: Float[np.ndarray, "n n 3"],
        mask: Float[np.ndarray, "n n"],
        face: Bool[np.ndarray, "n n"],
        head: Bool[np.ndarray, "n n"],
        known: Bool[np.ndarray, "n n"],
        device: torch.device,
    ) -> None:
        """Args are maps of the square crop; ``known`` marks the part that the photo covers."""
        kernel = cv2.getStructuringElement(
            cv2.MORPH_ELLIPSE, (2 * _EDGE_PIXELS + 1, 2 * _EDGE_PIXELS + 1)
        )
        inside = cv2.erode(((mask > 0.5) & known).astype(np.uint8), kernel) > 0
        front = extend_colors(rgb, inside if inside.any() else (mask > 0.5) & known)
        front = invent_unknown(front, known, inside & ~head)
        back = hide_face(front, face, head)
        self.front_texture, self.back_texture = front, back
        stacked = np.stack([front, back]).transpose(0, 3, 1, 2).astype(np.float32)
        self._textures = torch.from_numpy(np.ascontiguousarray(stacked)).to(device)

    def azimuth(self, step: int, generator: Generator) -> float | None:
        """The back, a view from behind, a view from anywhere, in turn.

        Views from the front quarters see what the photo does not: the inner sides of arms and legs.
        """
        draw = float(torch.rand((), generator=generator))
        if step % 3 == 0:
            return 180.0
        return 90.0 + 180.0 * draw if step % 3 == 1 else 360.0 * draw

    def target(
        self, points: Float[Tensor, "r 3"], normal: Float[Tensor, "r 3"]
    ) -> Float[Tensor, "r 3"]:
        """The baseline's colour for surface points with unit normals (field frame)."""
        grid = torch.stack([points[:, 0], -points[:, 1]], -1)[None, None].expand(2, 1, -1, 2)
        both = functional.grid_sample(
            self._textures, grid, align_corners=False, padding_mode="border"
        )[:, :, 0]
        front = front_share(normal)
        return (both[0] * front + both[1] * (1 - front)).T

    def loss(self, rays: GuidedRays) -> Float[Tensor, ""]:
        """L2 between the rendered colour and the baseline's, where the ray meets the person."""
        solid = (rays.opacity > 0.5).float()
        error = (rays.color - self.target(rays.points, rays.normal)).square().mean(-1)
        return (error * solid).sum() / solid.sum().clamp_min(1.0)

    def carried(self) -> CarriedPhoto:
        """Both textures, all of them."""
        everywhere = np.ones(self.back_texture.shape[:2], np.float32)
        return CarriedPhoto(self.front_texture, self.back_texture, everywhere)


class NoGuidance:
    """Nothing is asked of unseen sides: the paper's "reconstruction only"."""

    name = "none"
    description = "no guidance: unseen sides are left to the field's own smoothness"

    def azimuth(self, step: int, generator: Generator) -> float | None:
        """Never renders an unseen view."""
        return None

    def loss(self, rays: GuidedRays) -> Float[Tensor, ""]:
        """Zero."""
        return rays.color.sum() * 0.0

    def carried(self) -> None:
        """Nothing is carried."""


class MirrorAnchor:
    """The mirror baseline beside a prior: it paints first, then where the prior has nothing against it.

    For ``steps`` steps it is the baseline itself, so that a prior corrects and need not invent. After
    that it keeps the texture with ``weight``, less where the prior objects, as to a face on the back of a
    head: there it does not pull back.
    """

    def __init__(
        self, mirror: MirrorGuidance, steps: int, weight: float, objections: Objections
    ) -> None:
        self.mirror, self.objections = mirror, objections
        self._steps, self._weight = steps, weight
        self._painting = True
        self.name, self.description = mirror.name, mirror.description

    def azimuth(self, step: int, generator: Generator) -> float | None:
        """The baseline's view, as long as it has a say."""
        self._painting = step < self._steps
        if not self._painting and self._weight == 0.0:
            return None
        return self.mirror.azimuth(step, generator)

    def loss(self, rays: GuidedRays) -> Float[Tensor, ""]:
        """The baseline's loss; after the first steps each ray's error counts as far as nothing objects."""
        if self._painting:
            return self.mirror.loss(rays)
        error = (rays.color - self.mirror.target(rays.points, rays.normal)).square().mean(-1)
        kept = error * (1.0 - self.objections.at(rays.points, rays.normal))
        solid = (rays.opacity > 0.5).float()
        return self._weight * (kept * solid).sum() / solid.sum().clamp_min(1.0)

    def carried(self) -> CarriedPhoto:
        """The baseline's; behind as far as nothing objects, and not at all without a weight."""
        whole = self.mirror.carried()
        if self._weight == 0.0:
            return replace(whole, holds=np.zeros_like(whole.holds))
        side = whole.holds.shape[::-1]
        against = cv2.resize(self.objections.behind(), side, interpolation=cv2.INTER_LINEAR)
        return replace(whole, holds=whole.holds * (1.0 - against))

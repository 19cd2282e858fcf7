"""Silhouette of the chosen person (3.1), embedded providers.

``KeyedSegmentation`` uses what the picture itself says (its alpha channel, or a backdrop of one
colour); ``MediapipeGrabCut`` is for everything else.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from backend.errors import HumanRefError
from backend.perception.backdrop import Backdrop, detection_picture
from backend.perception.landmarks import Detection
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.subject import Photo

_WORKING_SIDE = 640
"""GrabCut's cost grows with the area; the guided filter then restores the edge at full size."""


@runtime_checkable
class Segmenter(Protocol):
    """Photo and found person to a soft silhouette."""

    name: str

    def segment(
        self, photo: Photo, detection: Detection, backdrop: Backdrop | None
    ) -> Float[np.ndarray, "h w"]:
        """Soft silhouette in [0, 1] at the photo's size.

        Raises:
            HumanRefError: ``mask_empty`` when the person cannot be told from the background.
        """


class KeyedSegmentation:
    """The picture's own alpha channel, or everything that is not its uniform backdrop: exact."""

    name = "keyed"

    def segment(
        self, photo: Photo, detection: Detection, backdrop: Backdrop | None
    ) -> Float[np.ndarray, "h w"]:
        """See :class:`Segmenter`."""
        if photo.matte is not None:
            soft = photo.matte
        elif backdrop is not None:
            soft = _soft_edge(photo.rgb, _filled(~backdrop.empty, detection.prior), backdrop.color)
        else:
            raise HumanRefError(
                "no_backdrop",
                "This photo has neither an alpha channel nor a background of one colour.",
                "Choose another way to find the silhouette.",
            )
        if detection.others is not None:
            soft = soft * ~detection.others
        return checked_mask(soft * person_component(soft > 0.5, detection.prior, grow=2))


class MediapipeGrabCut:
    """0.65 pose mask + 0.35 selfie mask -> GrabCut -> the person's component -> guided filter."""

    name = "mediapipe-grabcut"

    def __init__(self, models: MediapipeModels) -> None:
        self._models = models

    def segment(
        self, photo: Photo, detection: Detection, backdrop: Backdrop | None
    ) -> Float[np.ndarray, "h w"]:
        """See :class:`Segmenter`."""
        height, width = photo.rgb.shape[:2]
        picture = detection_picture(photo, None)
        rows, columns = np.nonzero(detection.prior > 0.1)
        if rows.size == 0:
            raise no_silhouette()
        pad = int(0.08 * max(np.ptp(rows), np.ptp(columns))) + 4
        top, bottom = max(0, rows.min() - pad), min(height, rows.max() + 1 + pad)
        left, right = max(0, columns.min() - pad), min(width, columns.max() + 1 + pad)
        part = np.ascontiguousarray(picture[top:bottom, left:right])
        scale = min(1.0, _WORKING_SIDE / max(part.shape[:2]))
        size = (max(8, round(part.shape[1] * scale)), max(8, round(part.shape[0] * scale)))
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)

        def shrunk(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "a b"]:
            cut = np.ascontiguousarray(values[top:bottom, left:right])
            return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA))

        prior = shrunk(detection.prior)
        certain_background = np.zeros(prior.shape, bool)
        if detection.others is not None:
            certain_background |= shrunk(detection.others.astype(np.float32)) > 0.5
        if backdrop is not None:
            certain_background |= (shrunk(backdrop.empty.astype(np.float32)) > 0.99) & (prior < 0.9)
        seed = 0.65 * prior + 0.35 * self._models.selfie(small)
        cut = grab_cut(small, seed, certain_background)
        component = person_component(cut, prior, grow=0)
        soft = cv2.resize(component.astype(np.float32), part.shape[1::-1])
        radius = max(2, round(0.004 * max(part.shape[:2])))
        fine = cv2.ximgproc.guidedFilter(part, soft, radius, (0.01 * 255.0) ** 2)
        mask = np.zeros((height, width), np.float32)
        mask[top:bottom, left:right] = np.clip((fine - 0.05) / 0.9, 0.0, 1.0)
        return checked_mask(mask)


def grab_cut(
    picture: UInt8[np.ndarray, "h w 3"],
    seed: Float[np.ndarray, "h w"],
    certain_background: Bool[np.ndarray, "h w"],
    iterations: int = 3,
) -> Bool[np.ndarray, "h w"]:
    """GrabCut from a soft seed: sure inside and far outside, open in a band around its edge."""
    radius = max(2, round(0.01 * max(seed.shape)))
    inside = (seed > 0.5).astype(np.uint8)
    labels = np.full(seed.shape, cv2.GC_BGD, np.uint8)
    labels[cv2.dilate((seed > 0.15).astype(np.uint8), _disc(2 * radius)) > 0] = cv2.GC_PR_BGD
    labels[inside > 0] = cv2.GC_PR_FGD
    labels[cv2.erode(inside, _disc(radius), borderValue=1) > 0] = cv2.GC_FGD
    labels[certain_background] = cv2.GC_BGD
    if not (labels == cv2.GC_FGD).any() or not (labels == cv2.GC_BGD).any():
        return np.asarray((seed > 0.5) & ~certain_background)
    # GrabCut draws its initial clusters at random; the same photo must give the same mask.
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(picture[..., ::-1]),
        labels,
        (0, 0, 0, 0),
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        iterations,
        cv2.GC_INIT_WITH_MASK,
    )
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def _disc(radius: int) -> np.ndarray:
    return np.asarray(
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    )


def _filled(
    foreground: Bool[np.ndarray, "h w"], prior: Float[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """Foreground with those holes closed that the detector is sure are person (white on white)."""
    count, labels = cv2.connectedComponents((~foreground).astype(np.uint8), connectivity=4)
    size = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
    sure = np.bincount(labels.ravel(), prior.ravel().astype(np.float64), minlength=count) / size
    outer = np.zeros(count, bool)
    outer[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    # A gap between arm and waist measures ~0.3-0.7 in the detector's blurry mask; cloth ~0.99.
    person = ~outer & ((sure > 0.9) | (size <= 4))
    person[0] = False
    return np.asarray(foreground | person[labels])


def _soft_edge(
    rgb: Float[np.ndarray, "h w 3"],
    foreground: Bool[np.ndarray, "h w"],
    color: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "h w"]:
    """Coverage of the outermost pixels, from how far they are mixed with the backdrop colour.

    Where the person is nearly as dark (or bright) as the backdrop the mixture tells nothing and a
    pixel counts in full.
    """
    inner = cv2.erode(foreground.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1)
    weight = cv2.blur(inner.astype(np.float32), (9, 9))[..., None]
    person = cv2.blur(rgb * inner[..., None].astype(np.float32), (9, 9)) / np.maximum(weight, 1e-6)
    edge = foreground & (cv2.erode(foreground.astype(np.uint8), np.ones((3, 3))) == 0)
    step = person - color
    contrast = np.sqrt((step**2).sum(-1))
    coverage = ((rgb - color) * step).sum(-1) / np.maximum(contrast**2, 1e-6)
    known = edge & (weight[..., 0] > 0.02) & (contrast > 0.2)
    return np.where(known, np.clip(coverage, 0.0, 1.0), foreground).astype(np.float32)


def person_component(
    inside: Bool[np.ndarray, "h w"], prior: Float[np.ndarray, "h w"], *, grow: int
) -> Bool[np.ndarray, "h w"]:
    """The piece that holds most of the detected person, grown by ``grow`` pixels for its edge."""
    count, labels = cv2.connectedComponents(inside.astype(np.uint8))
    if count < 2:
        raise no_silhouette()
    held = np.bincount(labels.ravel(), prior.ravel().astype(np.float64), minlength=count)
    piece = labels == 1 + int(held[1:].argmax())
    if grow:
        piece = cv2.dilate(piece.astype(np.uint8), np.ones((2 * grow + 1,) * 2, np.uint8)) > 0
    return np.asarray(piece)


def checked_mask(mask: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    if float((mask > 0.5).mean()) < 1e-4:
        raise no_silhouette()
    return mask.astype(np.float32)


def no_silhouette() -> HumanRefError:
    return HumanRefError(
        "mask_empty",
        "The person cannot be told from the background of this photo.",
        "Bring your own silhouette with --mask.",
    )

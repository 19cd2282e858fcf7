"""From a sample's file to what the normal network is shown: as it is, or as a photo would spoil it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from backend.perception.body_pictures import BodyPictures, network_conditions
from backend.training.photo_spoiling import Backdrop, spoil_colors, spoil_mask

_FILL = (0.78, 0.97)
_CUT_SHARE = 0.12
_CUT_WEIGHT = 0.3
"""Below the photo's edge the network only guesses, and its answer is not used."""


@dataclass(frozen=True)
class NormalPair:
    """One input of the network and what it should answer, at most 1 where it counts."""

    conditions: Float32[np.ndarray, "c n n"]
    front: Float32[np.ndarray, "3 n n"]
    back: Float32[np.ndarray, "3 n n"]
    weight: Float32[np.ndarray, "n n"]


@dataclass(frozen=True)
class NormalSample:
    """A person and one fit of them, decoded; normals are zero on the background."""

    color: Float32[np.ndarray, "n n 3"]
    """sRGB times coverage."""
    alpha: Float32[np.ndarray, "n n"]
    front: Float32[np.ndarray, "n n 3"]
    back: Float32[np.ndarray, "n n 3"]
    body_front: Float32[np.ndarray, "n n 3"]
    body_back: Float32[np.ndarray, "n n 3"]
    region: UInt8[np.ndarray, "n n"]


def read_sample(path: Path, fit: int) -> NormalSample:
    """Read a file of :func:`backend.training.normal_samples.make_normal_sample`."""
    with np.load(path) as file:
        color = file["color"].astype(np.float32) / 255.0
        return NormalSample(
            color=color[..., :3] * color[..., 3:],
            alpha=color[..., 3],
            front=_decoded(file["front"]),
            back=_decoded(file["back"]),
            body_front=_decoded(file["body_front"][fit]),
            body_back=_decoded(file["body_back"][fit]),
            region=file["region"][fit],
        )


def _decoded(normal: UInt8[np.ndarray, "n n 3"]) -> Float32[np.ndarray, "n n 3"]:
    # Channel by channel: numpy is slow at sums and tests along an axis of three.
    there = (normal[..., 0] | normal[..., 1] | normal[..., 2]) > 0
    return _unit((normal.astype(np.float32) / 127.5 - 1.0) * there[..., None])


def _unit(normal: Float32[np.ndarray, "n n 3"]) -> Float32[np.ndarray, "n n 3"]:
    x, y, z = normal[..., 0], normal[..., 1], normal[..., 2]
    length = np.sqrt(x * x + y * y + z * z)
    scale = (length > 0.05) / np.maximum(length, np.float32(0.05))
    return np.asarray(normal * scale[..., None], np.float32)


def plain_pair(sample: NormalSample) -> NormalPair:
    """The sample as it is: exact silhouette, no augmentation."""
    return _pair(sample, _straight(sample), sample.alpha, (sample.alpha > 0.5).astype(np.float32))


def spoiled_pair(sample: NormalSample, rng: np.random.Generator) -> NormalPair:
    """The sample mirrored, moved, in other colours, with a wrong silhouette and perhaps cut off."""
    sample = _moved(sample, rng)
    if rng.random() < 0.5:
        sample = _mirrored(sample)
    mask = spoil_mask(sample.alpha, rng)
    n = len(mask)
    behind = Backdrop.sample(rng).draw(n)
    photo = sample.color + behind * (1.0 - sample.alpha[..., None])
    photo = spoil_colors(photo, rng)
    weight = ((sample.alpha > 0.5) & (mask > 0.3)).astype(np.float32)
    if rng.random() < _CUT_SHARE:
        rows = np.nonzero((sample.alpha > 0.5).any(1))[0]
        edge = int(rows[0] + rng.uniform(0.4, 0.95) * np.ptp(rows))
        # Where the photo ends, the body's own outline stands for the silhouette.
        mask[edge:] = (sample.body_front[edge:] != 0.0).any(-1)
        photo[edge:] = 0.5
        weight[edge:] = _CUT_WEIGHT * (sample.alpha[edge:] > 0.5) * (mask[edge:] > 0.5)
    return _pair(sample, photo, mask, weight)


def _pair(
    sample: NormalSample,
    photo: Float[np.ndarray, "n n 3"],
    mask: Float32[np.ndarray, "n n"],
    weight: Float32[np.ndarray, "n n"],
) -> NormalPair:
    body = BodyPictures(sample.body_front, sample.body_back, sample.region)
    return NormalPair(
        conditions=network_conditions(photo, mask, body),
        front=np.ascontiguousarray(sample.front.transpose(2, 0, 1)),
        back=np.ascontiguousarray(sample.back.transpose(2, 0, 1)),
        weight=weight,
    )


def _straight(sample: NormalSample) -> Float32[np.ndarray, "n n 3"]:
    return np.asarray(sample.color / np.maximum(sample.alpha[..., None], 1e-3), np.float32)


def _moved(sample: NormalSample, rng: np.random.Generator) -> NormalSample:
    """Cut as :func:`frame_person` cuts a photo: the person's longest side fills most of the square."""
    n = len(sample.alpha)
    person = (sample.alpha > 0.3) | (sample.region > 0)
    rows, columns = np.nonzero(person.any(1))[0], np.nonzero(person.any(0))[0]
    fill = float(rng.uniform(*_FILL))
    zoom = fill * n / (1.0 + max(np.ptp(rows), np.ptp(columns)))
    spare = 0.5 * (0.99 - fill) * n
    dx, dy = (n - 1) / 2 + rng.uniform(-spare, spare, 2)
    center_x, center_y = (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
    matrix = np.array([[zoom, 0.0, dx - zoom * center_x], [0.0, zoom, dy - zoom * center_y]])

    def warp(*pictures: np.ndarray) -> list[Float32[np.ndarray, "n n *c"]]:
        return [np.asarray(cv2.warpAffine(p, matrix, (n, n))) for p in pictures]

    region = cv2.warpAffine(sample.region, matrix, (n, n), flags=cv2.INTER_NEAREST)
    color, alpha = warp(sample.color, sample.alpha)
    normals = warp(sample.front, sample.back, sample.body_front, sample.body_back)
    front, back, body_front, body_back = (_unit(normal) for normal in normals)
    return NormalSample(
        color, alpha, front, back, body_front, body_back, np.asarray(region, np.uint8)
    )


def _mirrored(sample: NormalSample) -> NormalSample:
    """Left and right exchanged: pixels, and the normals' own x."""
    other = np.array([-1.0, 1.0, 1.0], np.float32)

    def flip(picture: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(picture[:, ::-1])

    return NormalSample(
        color=flip(sample.color),
        alpha=flip(sample.alpha),
        front=flip(sample.front) * other,
        back=flip(sample.back) * other,
        body_front=flip(sample.body_front) * other,
        body_back=flip(sample.body_back) * other,
        region=flip(sample.region),
    )

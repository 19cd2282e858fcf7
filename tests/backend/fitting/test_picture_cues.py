"""What the picture shows at landmarks: of any size, on any backdrop, and in the mirror."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from backend.fitting.lifting import CUE_WIDTH, LANDMARKS, PLACES
from backend.fitting.picture_cues import mirrored_body, picture_cues

PHOTO = Path(__file__).parents[3] / "examples" / "photo.png"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.asarray(Image.open(PHOTO).convert("RGB"), np.float32) / 255.0


@pytest.fixture(scope="module")
def mask(photo: np.ndarray) -> np.ndarray:
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width]
    inside = ((x - width / 2) / (0.3 * width)) ** 2 + ((y - height / 2) / (0.48 * height)) ** 2
    return (inside < 1.0).astype(np.float32)


@pytest.fixture(scope="module")
def body(photo: np.ndarray) -> np.ndarray:
    """Some points of a person in the middle of the picture."""
    height, width = photo.shape[:2]
    points = np.random.default_rng(0).uniform(0.3, 0.7, (33, 2)) * (width, height)
    points[[11, 12]] = (0.56 * width, 0.3 * height), (0.44 * width, 0.3 * height)
    points[[23, 24]] = (0.54 * width, 0.5 * height), (0.46 * width, 0.5 * height)
    return np.asarray(points)


def alike(first: np.ndarray | None, second: np.ndarray | None) -> float:
    assert first is not None
    assert second is not None
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_one_row_a_place(photo: np.ndarray, mask: np.ndarray, body: np.ndarray) -> None:
    found = picture_cues(photo, mask, body)
    assert found is not None
    assert found.shape == (len(PLACES), CUE_WIDTH)
    assert np.isfinite(found).all()
    # Places are looked at, not the picture as a whole.
    assert np.abs(found[0] - found[10]).max() > 0.5
    moved = body.copy()
    moved[27] += 40.0
    other = picture_cues(photo, mask, moved)
    assert other is not None
    ankle = LANDMARKS.index(27)
    changed = np.abs(other - found).max(1) > 1e-4
    assert changed[ankle]
    assert not changed[: len(LANDMARKS)][np.arange(len(LANDMARKS)) != ankle].any()


@pytest.mark.parametrize("factor", [0.5, 1.7, 4.0])
def test_resolution_hardly_matters(
    photo: np.ndarray, mask: np.ndarray, body: np.ndarray, factor: float
) -> None:
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    size = (round(photo.shape[1] * factor), round(photo.shape[0] * factor))
    scale = np.array(size) / (photo.shape[1], photo.shape[0])
    other = picture_cues(
        cv2.resize(photo, size, interpolation=method), cv2.resize(mask, size), body * scale
    )
    assert alike(picture_cues(photo, mask, body), other) > 0.97


def test_the_backdrop_hardly_matters(photo: np.ndarray, mask: np.ndarray, body: np.ndarray) -> None:
    noise = np.random.default_rng(1).random(photo.shape, np.float32)
    elsewhere = np.where(mask[..., None] > 0, photo, noise)
    # It mixes into the outline's own pixels alone.
    assert alike(picture_cues(photo, mask, body), picture_cues(elsewhere, mask, body)) > 0.98


def test_a_mirror_changes_sides(photo: np.ndarray, mask: np.ndarray, body: np.ndarray) -> None:
    width = photo.shape[1]
    across = mirrored_body(body, width)
    np.testing.assert_allclose(mirrored_body(across, width), body)
    np.testing.assert_allclose(across[11], (width - body[12, 0], body[12, 1]))
    np.testing.assert_allclose(across[0], (width - body[0, 0], body[0, 1]))
    # The mirror image of a symmetric picture shows the same at the other side's landmarks.
    halves = (photo + photo[:, ::-1]) / 2
    even = (mask + mask[:, ::-1]) / 2
    first = picture_cues(halves, even, body)
    second = picture_cues(halves[:, ::-1].copy(), even[:, ::-1].copy(), body)
    assert alike(first, second) > 0.9999


def test_nobody_without_a_trunk(photo: np.ndarray, mask: np.ndarray) -> None:
    assert picture_cues(photo, mask, np.full((33, 2), 50.0)) is None

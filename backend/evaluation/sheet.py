"""The sheet: per subject the photo, the truth and every method at eight azimuths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from backend.evaluation.dataset import AZIMUTHS
from backend.evaluation.store import TILE

_GREY = 0.93
_LABEL = 18
# Nobody who stands fills a square: the sides of the tiles are left out where all rows are empty.
_PAD = 4


@dataclass(frozen=True)
class SheetSubject:
    """One subject's block."""

    name: str
    photo: Float[np.ndarray, "h w 3"]
    rows: Mapping[str, Float[np.ndarray, "t m 3"]]
    """Title -> strip of views (:func:`strip`), the truth first."""


def strip(views: Mapping[int, Float[np.ndarray, "n n 4"]]) -> Float[np.ndarray, "t w 3"]:
    """The eight views side by side over light grey, :data:`TILE` pixels high."""
    tiles = []
    for azimuth in AZIMUTHS:
        rgba = views[azimuth]
        blended = rgba[..., :3] * rgba[..., 3:] + _GREY * (1.0 - rgba[..., 3:])
        tiles.append(cv2.resize(blended, (TILE, TILE), interpolation=cv2.INTER_AREA))
    joined: np.ndarray = np.concatenate(tiles, 1).astype(np.float32)
    return joined


def sheet(subjects: Sequence[SheetSubject]) -> Float[np.ndarray, "h w 3"]:
    """All blocks, one below the other; sRGB in [0, 1]. There must be at least one."""
    blocks = [_block(subject) for subject in subjects]
    width = max(block.shape[1] for block in blocks)
    padded = [
        np.pad(b, ((0, 0), (0, width - b.shape[1]), (0, 0)), constant_values=1.0) for b in blocks
    ]
    joined: np.ndarray = np.concatenate(padded, 0)
    return np.clip(joined, 0.0, 1.0)


def _block(subject: SheetSubject) -> Float[np.ndarray, "h w 3"]:
    left, right = _columns(list(subject.rows.values()))
    rows = []
    for number, (title, row) in enumerate(subject.rows.items()):
        tiles = row.reshape(TILE, len(AZIMUTHS), TILE, 3)[:, :, left:right].reshape(TILE, -1, 3)
        photo = _fit(subject.photo) if number == 0 else np.full((TILE, TILE, 3), _GREY)
        label = np.full((_LABEL, TILE + tiles.shape[1], 3), 255, np.uint8)
        _write(label, f"{subject.name}: {title}", 4)
        if number == 0:
            for index, azimuth in enumerate(AZIMUTHS):
                _write(label, str(azimuth), TILE + index * (right - left) + (right - left) // 2)
        rows += [label / 255.0, np.concatenate([photo, tiles], 1)]
    joined: np.ndarray = np.concatenate(rows, 0).astype(np.float32)
    return joined


def _columns(rows: Sequence[Float[np.ndarray, "t m 3"]]) -> tuple[int, int]:
    """The columns of a tile in which any view of any row shows something."""
    used = np.zeros(TILE, bool)
    for row in rows:
        used |= (np.abs(row - _GREY) > 0.02).any((0, 2)).reshape(len(AZIMUTHS), TILE).any(0)
    columns = np.nonzero(used)[0]
    if not len(columns):
        return 0, TILE
    return max(0, int(columns[0]) - _PAD), min(TILE, int(columns[-1]) + 1 + _PAD)


def _fit(photo: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "t t 3"]:
    """The whole photo in a square tile."""
    height, width = photo.shape[:2]
    factor = TILE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(photo.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE, TILE, 3), _GREY)
    top, left = (TILE - size[1]) // 2, (TILE - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile


def _write(label: UInt8[np.ndarray, "h w 3"], text: str, column: int) -> None:
    # OpenCV's letters are ASCII.
    plain = text.encode("ascii", "replace").decode()
    at = (column, _LABEL - 5)
    cv2.putText(label, plain, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)

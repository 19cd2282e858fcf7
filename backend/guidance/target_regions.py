"""Which part of the body each pixel of a rendered view shows (3.3.2), and what it must not look at.

The paper cuts space into horizontal bands at the boundaries of the photo's regions; that breaks where
arms are raised or legs are lifted. Ours draws the posed body's own part labels in the view. Both give
labels for every pixel; :func:`with_background` then leaves the person's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer, UInt8
from torch import Tensor

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.rasterizer import Raster
from backend.perception.parsing import fill_from_nearest

_PARTS = (Region.HEAD, Region.UPPER, Region.LOWER, Region.FEET)
# From here on (degrees off the front) no part of the face is seen.
FACE_HIDDEN_FROM = 100.0


def raster_labels(
    seen: Raster, faces: Int[np.ndarray, "f 3"], regions: UInt8[np.ndarray, "v"]
) -> UInt8[np.ndarray, "n n"]:
    """The posed body's region in each pixel of a view; off the body that of its nearest pixel.

    Cloth and hair stand off the naked body: they belong to the part they surround.

    Args:
        seen: the body, drawn.
        faces: those that were drawn.
        regions: the vertices' own.

    Raises:
        HumanRefError: ``regions_empty`` when the view shows nothing of the body.
    """
    corners = faces[seen.face_index]
    nearest = np.take_along_axis(corners, seen.barycentric.argmax(-1)[..., None], -1)[..., 0]
    labels = np.where(seen.covered, regions[nearest], np.uint8(Region.BACKGROUND))
    return fill_from_nearest(labels, np.ones(labels.shape, np.float32))


@dataclass(frozen=True)
class BandCuts:
    """Heights (field y, from above) where head, upper body, lower body and feet meet."""

    heights: tuple[float, float, float]


def band_cuts(regions: UInt8[np.ndarray, "n n"]) -> BandCuts:
    """The paper's cuts of space from the photo's regions on the square crop.

    Each is the row that leaves the fewest pixels on the wrong side; a region that the photo does not
    show gets no band.

    Raises:
        HumanRefError: ``regions_empty``.
    """
    n = regions.shape[0]
    counts = np.stack([(regions == part).sum(1) for part in _PARTS])
    if not counts.any():
        raise HumanRefError(
            "regions_empty",
            "No pixel of the photo has a region.",
            "Correct the regions, or take body labels instead of bands.",
        )
    heights = []
    for cut in range(1, len(_PARTS)):
        above, below = counts[:cut].sum(0), counts[cut:].sum(0)
        if not below.any():
            row = float(n)
        elif not above.any():
            row = 0.0
        else:
            # wrong[r]: pixels misplaced by a cut just above row r.
            wrong = np.append(0, below.cumsum()) + above.sum() - np.append(0, above.cumsum())
            row = float(np.nonzero(wrong == wrong.min())[0].mean())
        heights.append(1.0 - 2.0 * row / n)
    return BandCuts((heights[0], heights[1], heights[2]))


def band_labels(
    cuts: BandCuts, camera: OrthographicCamera, resolution: int
) -> UInt8[np.ndarray, "n n"]:
    """The bands of space as a view shows them (on the vertical plane through its target)."""
    up = 1.0 - (2.0 * np.arange(resolution) + 1.0) / resolution
    lift = float(np.cos(np.radians(camera.elevation)))
    y = up * camera.half_height / lift + camera.target[1]
    label = int(Region.HEAD) + sum((y < height).astype(int) for height in cuts.heights)
    return np.repeat(np.asarray(label, np.uint8)[:, None], resolution, 1)


def with_background(
    labels: Integer[Tensor, "b h w"], opacity: Float[Tensor, "b h w"]
) -> Integer[Tensor, "b h w"]:
    """Labels where the rendered person is (opacity over 0.5), background elsewhere."""
    return torch.where(opacity > 0.5, labels, torch.full_like(labels, int(Region.BACKGROUND)))


def hidden_face(
    face: Bool[Tensor, "h w"], azimuths: Sequence[float], hidden_from: float = FACE_HIDDEN_FROM
) -> Bool[Tensor, "b h w"] | None:
    """Reference pixels each view must not see: the face, for views from behind (the Janus guard).

    The paper lets the back of the head look at the face, and names the second faces that follow as a
    limit of its method (Fig. 10). None when no view is from behind.
    """
    away = [abs((azimuth + 180.0) % 360.0 - 180.0) > hidden_from for azimuth in azimuths]
    if not any(away):
        return None
    return torch.stack([face if behind else torch.zeros_like(face) for behind in away])

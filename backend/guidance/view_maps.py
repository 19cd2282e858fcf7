"""What a prior is told of each view besides the picture: the body, and the photo carried over it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backend.body.model import Region
from backend.guidance.correspondence import BodyPicture, PhotoIndex, carry_colors, surround

_PARTS = (Region.HEAD, Region.UPPER, Region.LOWER, Region.FEET)


class PhotoOnBody:
    """Carries one photo to any view of the body it shows.

    Args:
        photo: sRGB in [0, 1] over plain grey, as the prior sees it; the views' size.
        solid: pixels that surely show the person.
        body: the body as the photo's camera sees it.
    """

    def __init__(
        self,
        photo: Float[np.ndarray, "n n 3"],
        solid: Bool[np.ndarray, "n n"],
        body: BodyPicture,
    ) -> None:
        self._photo = photo.astype(np.float32) * 2.0 - 1.0
        self._index = PhotoIndex(body, solid)

    def maps(self, body: BodyPicture, azimuth: float) -> Mapping[str, Float[Tensor, "_ n n"]]:
        """The maps of :data:`backend.guidance.compact_network.MAPS` of a view (degrees), on the CPU."""
        around = surround(body)
        places = self._index.look_up(around, azimuth)
        parts = np.stack([body.region == part for part in _PARTS], -1)
        found = {
            "body_normal": body.normal,
            "canonical": around.canonical,
            "near": around.near[..., None],
            "parts": parts,
            "warp": carry_colors(self._photo, places),
            "warp_valid": places.valid[..., None],
        }
        return {
            name: torch.from_numpy(np.ascontiguousarray(each.transpose(2, 0, 1), np.float32))
            for name, each in found.items()
        }

"""Square crops of a picture, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Shaped


@dataclass(frozen=True)
class SquareCrop:
    """A square of the photo resampled to ``size`` x ``size``; u, v in photo pixels."""

    left: float
    top: float
    side: float
    size: int

    @property
    def scale(self) -> float:
        """Photo pixels a crop pixel."""
        return self.side / self.size

    def to_photo(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Crop pixels to photo pixels."""
        return np.asarray(points * self.scale + np.array([self.left, self.top], points.dtype))

    def _photo_from_crop(self) -> Float[np.ndarray, "2 3"]:
        # OpenCV counts from pixel centres, the photo frame from pixel corners.
        shift = 0.5 * self.scale - 0.5
        return np.array(
            [[self.scale, 0.0, self.left + shift], [0.0, self.scale, self.top + shift]], np.float64
        )

    def cut(
        self, picture: Shaped[np.ndarray, "h w *c"], border: int = cv2.BORDER_CONSTANT
    ) -> Shaped[np.ndarray, "s s *c"]:
        """The crop; beyond the photo it is 0, or the photo's edge (``cv2.BORDER_REPLICATE``)."""
        matrix = self._photo_from_crop()
        if self.scale > 1.5:
            # Bilinear samples alone would skip pixels: average first.
            factor = int(self.scale)
            height, width = picture.shape[:2]
            size = (max(1, width // factor), max(1, height // factor))
            matrix = np.diag([size[0] / width, size[1] / height]) @ (
                matrix + np.array([[0, 0, 0.5], [0, 0, 0.5]])
            ) - np.array([[0, 0, 0.5], [0, 0, 0.5]])
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return np.asarray(
            cv2.warpAffine(
                picture,
                matrix,
                (self.size, self.size),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=border,
            )
        )

    def paste(
        self, crop: Float[np.ndarray, "s s"], height: int, width: int
    ) -> Float[np.ndarray, "h w"]:
        """A map of the crop brought back to the photo's size; 0 outside the crop."""
        return np.asarray(
            cv2.warpAffine(
                crop,
                self._photo_from_crop(),
                (width, height),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
            )
        )

"""What the photo and the fitted body ask of the field, on the square crop that the cube's front covers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional

from backend.guidance.mirror import extend_colors
from backend.perception.subject import NormalMaps


@dataclass(frozen=True)
class CropMaps:
    """The subject on the crop, row 0 on top."""

    rgb: Float[np.ndarray, "n n 3"]
    """Colours; mixed silhouette pixels replaced by the person's own colour beside them."""
    mask: Float[np.ndarray, "n n"]
    known: Bool[np.ndarray, "n n"]
    """False outside the photo: nothing is known there, and nothing asked."""
    head: Bool[np.ndarray, "n n"]
    face: Bool[np.ndarray, "n n"]
    """Outline of the face, filled; all False when no face was found."""


def clean_edges(
    rgb: Float[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 3"]:
    """Replace colours that are mixed with the background by the nearest unmixed ones."""
    pure = mask > 0.9
    if not pure.any():
        return rgb
    return np.where((mask > 0.9)[..., None], rgb, extend_colors(rgb, pure))


@dataclass(frozen=True)
class RayTargets:
    """What front rays should show."""

    color: Float[Tensor, "r 3"]
    mask: Float[Tensor, "r"]
    known: Float[Tensor, "r"]
    normal: Float[Tensor, "r 3"]
    normal_weight: Float[Tensor, "r"]


class FrontTargets:
    """Front-view targets as an image pyramid; rays are drawn where the person is, in neighbouring pairs."""

    def __init__(
        self,
        maps: CropMaps,
        normals: NormalMaps,
        body_silhouette: Bool[np.ndarray, "n n"],
        resolutions: tuple[int, ...],
        device: torch.device,
    ) -> None:
        """Args are on the same crop; ``body_silhouette`` widens the drawn area to wherever the body is."""
        channels = np.concatenate(
            [
                maps.rgb,
                maps.mask[..., None],
                maps.known[..., None].astype(np.float32),
                normals.front,
                normals.front_weight[..., None],
            ],
            -1,
        ).astype(np.float32)
        self._levels: dict[int, Tensor] = {}
        self._candidates: dict[int, tuple[Tensor, Tensor]] = {}
        self.device = device
        for n in resolutions:
            level = cv2.resize(np.ascontiguousarray(channels), (n, n), interpolation=cv2.INTER_AREA)
            self._levels[n] = torch.from_numpy(level.transpose(2, 0, 1)[None].copy()).to(device)
            found = self._importance(maps, body_silhouette, n)
            self._candidates[n] = (found[0].to(device), found[1].to(device))
        back = np.concatenate([normals.back, normals.back_weight[..., None]], -1)
        self._back = torch.from_numpy(back.astype(np.float32).transpose(2, 0, 1)[None].copy()).to(
            device
        )

    @staticmethod
    def _importance(maps: CropMaps, body: Bool[np.ndarray, "n n"], n: int) -> tuple[Tensor, Tensor]:
        """Flat pixel indices worth a ray and their cumulative weights."""
        person = cv2.resize(
            ((maps.mask > 0.3) | body).astype(np.float32), (n, n), interpolation=cv2.INTER_AREA
        )
        reach = max(2, int(0.03 * n))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        around = cv2.dilate((person > 0.1).astype(np.uint8), kernel) > 0
        head = cv2.resize(maps.head.astype(np.float32), (n, n), interpolation=cv2.INTER_AREA)
        # A face is small and looked at first: more rays there.
        weight = np.where(person > 0.1, 1.0, 0.35) + 1.5 * head
        index = np.nonzero(around.ravel())[0]
        cumulative = np.cumsum(weight.ravel()[index])
        return torch.from_numpy(index), torch.from_numpy(cumulative / cumulative[-1])

    def draw(self, resolution: int, rays: int, generator: Generator) -> Float[Tensor, "r 2"]:
        """Picture points (x, y in [-1, 1], y up) in pairs: row 2k + 1 is a neighbour pixel of row 2k.

        The generator must be of the targets' own device.
        """
        index, cumulative = self._candidates[resolution]
        pairs, place = rays // 2, self.device
        uniform = torch.rand(pairs, generator=generator, dtype=cumulative.dtype, device=place)
        pixel = index[torch.searchsorted(cumulative, uniform).clamp_max(len(index) - 1)]
        row, column = pixel // resolution, pixel % resolution
        jitter = torch.rand(pairs, 2, generator=generator, device=place)
        sideways = (torch.rand(pairs, generator=generator, device=place) < 0.5).float()
        first = torch.stack([column + jitter[:, 0], row + jitter[:, 1]], -1)
        second = first + torch.stack([sideways, 1.0 - sideways], -1)
        both = torch.stack([first, second], 1).view(-1, 2) / resolution * 2.0 - 1.0
        return torch.stack([both[:, 0], -both[:, 1]], 1).float()

    def at(self, resolution: int, xy: Float[Tensor, "r 2"]) -> RayTargets:
        """Targets at picture points, bilinear in the pyramid's level."""
        value = _sample(self._levels[resolution], xy)
        return RayTargets(
            color=value[:, :3],
            mask=value[:, 3],
            known=(value[:, 4] > 0.99).float(),
            normal=value[:, 5:8],
            normal_weight=value[:, 8],
        )

    def back_normals(
        self, xy: Float[Tensor, "r 2"]
    ) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r"]]:
        """Normals and their trust at points of the picture from behind (azimuth 180)."""
        value = _sample(self._back, xy)
        return value[:, :3], value[:, 3]


def _sample(image: Tensor, xy: Tensor) -> Tensor:
    grid = torch.stack([xy[:, 0], -xy[:, 1]], -1)[None, None]
    return functional.grid_sample(image, grid, align_corners=False, padding_mode="border")[
        0, :, 0
    ].T

"""Where a prior objects to the photo carried round the body: what the mirror baseline then lets go.

The baseline knows a surface point by its x and y and the side it faces (:mod:`backend.guidance.mirror`), so
an objection does too: two maps of the field's x and y, front and back.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_SIDE = 128
# Objections speak for so many cells around them.
_SPREAD = 5


def front_share(normal: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
    """1 where a surface faces the photo's camera, 0 where it turns away, linear in between."""
    return ((normal[..., 2] + 0.15) / 0.5).clamp(0.0, 1.0)


class Objections:
    """Means of what was said of each place, 0 (nothing) to 1 (wrong); 0 where nothing was said."""

    def __init__(self, device: torch.device) -> None:
        self._total = torch.zeros(2, _SIDE * _SIDE, device=device)
        self._count = torch.zeros(2, _SIDE * _SIDE, device=device)
        self._maps: Tensor | None = None

    def add(
        self,
        points: Float[Tensor, "r 3"],
        normal: Float[Tensor, "r 3"],
        share: Float[Tensor, "r"],
        weight: Float[Tensor, "r"],
    ) -> None:
        """Tell of surface points how wrong they are; ``weight`` is how much of the surface is there."""
        column = ((points[:, 0] + 1.0) / 2.0 * _SIDE).long().clamp(0, _SIDE - 1)
        row = ((1.0 - points[:, 1]) / 2.0 * _SIDE).long().clamp(0, _SIDE - 1)
        cell, front = row * _SIDE + column, front_share(normal)
        for k, side in enumerate((front, 1.0 - front)):
            self._total[k].index_add_(0, cell, share * side * weight)
            self._count[k].index_add_(0, cell, side * weight)
        self._maps = None

    def at(self, points: Float[Tensor, "r 3"], normal: Float[Tensor, "r 3"]) -> Float[Tensor, "r"]:
        """The objection to surface points with unit normals (field frame)."""
        if self._maps is None:
            self._maps = self._averaged()
        grid = torch.stack([points[:, 0], -points[:, 1]], -1)[None, None]
        found = functional.grid_sample(self._maps, grid, align_corners=False)[0, :, 0]
        front = front_share(normal)
        return found[0] * front + found[1] * (1.0 - front)

    def behind(self) -> Float[np.ndarray, "n n"]:
        """The objections to what faces away from the photo's camera, by x and y, row 0 on top."""
        if self._maps is None:
            self._maps = self._averaged()
        found: np.ndarray = self._maps[0, 1].cpu().numpy()
        return found

    def _averaged(self) -> Float[Tensor, "1 2 n n"]:
        def spread(cells: Float[Tensor, "2 m"]) -> Float[Tensor, "1 2 n n"]:
            maps = cells.view(1, 2, _SIDE, _SIDE)
            return functional.avg_pool2d(maps, _SPREAD, 1, _SPREAD // 2)

        count = spread(self._count)
        return spread(self._total) / count.clamp_min(1e-3) * (count > 1e-3)

    def state_dict(self) -> dict[str, Tensor]:
        """What was said, and how often."""
        return {"total": self._total, "count": self._count}

    def load_state_dict(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Continue from :meth:`state_dict`."""
        self._total, self._count = state["total"].to(device), state["count"].to(device)
        self._maps = None

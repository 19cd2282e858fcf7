"""The readable hash encoding: plain torch, any device, the definition that the fast ones are held to."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from backend.field.encodings.grid import HASH_PRIMES, HashGridLayout


class ReferenceEncoding:
    """Trilinear lookup of every level by gathering the eight corners of a point's cell."""

    name = "reference"

    def __init__(self, layout: HashGridLayout) -> None:
        self.layout = layout

    def __call__(
        self, x: Float[Tensor, "n 3"], table: Float[Tensor, "t 2"], levels: int | None = None
    ) -> Float[Tensor, "n d"]:
        """See :class:`backend.field.encodings.protocol.HashEncoding`."""
        count = self.layout.levels if levels is None else levels
        return torch.cat([self._level(x, table, level)[0] for level in range(count)], 1)

    def with_jacobian(
        self,
        x: Float[Tensor, "n 3"],
        table: Float[Tensor, "t 2"],
        jacobian_levels: int | None = None,
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 3 j"]]:
        """See :class:`backend.field.encodings.protocol.HashEncoding`."""
        count = self.layout.levels if jacobian_levels is None else jacobian_levels
        pairs = [self._level(x, table, level) for level in range(self.layout.levels)]
        features = torch.cat([value for value, _ in pairs], 1)
        return features, torch.cat([slope for _, slope in pairs[:count]], 2)

    def _level(
        self, x: Float[Tensor, "n 3"], table: Float[Tensor, "t 2"], level: int
    ) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 3 2"]]:
        scale = self.layout.scales[level]
        position = torch.nan_to_num(x.detach(), nan=0.0).clamp(0.0, 1.0) * scale + 0.5
        cell = position.floor()
        f = (position - cell)[:, :, None]
        c = self._corners(cell.long(), table, level)
        # Along x, then y, then z; the differences on the way are the partial derivatives.
        dx = c[:, 1::2] - c[:, 0::2]
        along_x = c[:, 0::2] + f[:, 0:1] * dx
        dx_y = dx[:, 0::2] + f[:, 1:2] * (dx[:, 1::2] - dx[:, 0::2])
        dy = along_x[:, 1::2] - along_x[:, 0::2]
        along_y = along_x[:, 0::2] + f[:, 1:2] * dy
        dz = along_y[:, 1] - along_y[:, 0]
        value = along_y[:, 0] + f[:, 2] * dz
        slope_x = dx_y[:, 0] + f[:, 2] * (dx_y[:, 1] - dx_y[:, 0])
        slope_y = dy[:, 0] + f[:, 2] * (dy[:, 1] - dy[:, 0])
        return value, torch.stack([slope_x, slope_y, dz], 1) * scale

    def _corners(
        self, cell: Int[Tensor, "n 3"], table: Float[Tensor, "t 2"], level: int
    ) -> Float[Tensor, "n 8 2"]:
        """Entries of the cell's corners; bit 0 of the corner's number steps in x, 1 in y, 2 in z."""
        bits = torch.arange(8, device=cell.device)
        steps = torch.stack([bits & 1, bits >> 1 & 1, bits >> 2], 1)
        corner = cell[:, None] + steps
        if self.layout.dense[level]:
            r = self.layout.resolutions[level]
            index = corner[..., 0] + r * (corner[..., 1] + r * corner[..., 2])
        else:
            x, y, z = (corner[..., k] * HASH_PRIMES[k] for k in range(3))
            index = x ^ y ^ z
        # int64 keeps the low 32 bits of the hash exact; the sizes of hashed levels are powers of two.
        return table[index % self.layout.sizes[level] + self.layout.offsets[level]]

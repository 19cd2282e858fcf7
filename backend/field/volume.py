"""Sampling a scalar grid that fills the field cube: value and exact gradient of the trilinear surface.

A grid's axes are (z, y, x) and its outermost nodes lie on the cube's faces (``align_corners``). Points
beyond the cube read the nearest point on its border.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from backend.field import kernels


def sample_grid(grid: Float[Tensor, "d h w"], points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
    """Trilinear values of ``grid`` at ``points`` (field frame); no gradients flow."""
    if not _compiled(grid, points):
        return sample_grid_reference(grid, points)[0]
    value = torch.empty(len(points))
    none = torch.empty(0, 3)
    kernels.trilinear(grid.detach().numpy(), points.detach().numpy(), value.numpy(), none.numpy())
    return value


def sample_grid_with_gradient(
    grid: Float[Tensor, "d h w"], points: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
    """Values, and d value / d point (per field unit) in the cell that holds each point."""
    if not _compiled(grid, points):
        return sample_grid_reference(grid, points)
    value, gradient = torch.empty(len(points)), torch.empty(len(points), 3)
    kernels.trilinear(
        grid.detach().numpy(), points.detach().numpy(), value.numpy(), gradient.numpy()
    )
    return value, gradient


def sample_grid_reference(
    grid: Float[Tensor, "d h w"], points: Float[Tensor, "n 3"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
    """The readable twin in plain torch (any device, any float type)."""
    size = torch.tensor(grid.shape[::-1], device=grid.device)
    position = torch.nan_to_num((points.detach() + 1.0) * 0.5 * (size - 1), nan=0.0)
    position = torch.minimum(position.clamp(min=0.0), (size - 1).to(position.dtype))
    cell = torch.minimum(position.floor().long(), size - 2)
    f = position - cell
    x, y, z = cell.unbind(1)
    c = torch.stack([grid[z + (k >> 2), y + (k >> 1 & 1), x + (k & 1)] for k in range(8)], 1).view(
        -1, 2, 2, 2
    )
    weight = [torch.stack([1.0 - f[:, k], f[:, k]], 1) for k in range(3)]
    slope = torch.tensor([-1.0, 1.0], dtype=f.dtype, device=f.device).expand(len(f), 2)

    def contract(wx: Tensor, wy: Tensor, wz: Tensor) -> Tensor:
        return torch.einsum("nzyx,nx,ny,nz->n", c, wx, wy, wz)

    gradient = torch.stack(
        [
            contract(slope, weight[1], weight[2]),
            contract(weight[0], slope, weight[2]),
            contract(weight[0], weight[1], slope),
        ],
        1,
    )
    return contract(*weight), gradient * (0.5 * (size - 1))


def _compiled(grid: Tensor, points: Tensor) -> bool:
    """True where the numba kernel applies: float32 on the CPU."""
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (grid, points))

"""Sampling a scalar grid that fills the field cube: value and exact gradient of the trilinear surface.

A grid's axes are (z, y, x) and its outermost nodes lie on the cube's faces (``align_corners``). Points
beyond the cube read the nearest point on its border.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from backend.field import kernels


def sample_grid(grid: Float[Tensor, "d h w"], points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
    """Trilinear values of ``grid`` at ``points`` (field frame); no gradients flow."""
    if not _compiled(grid, points):
        return sample_grid_fused(grid, points)
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
    """The readable twin in plain torch (any device, any float type).

    Also what runs on a GPU where the gradient is wanted: it never waits for the device.
    """
    cells = [size - 1 for size in grid.shape[::-1]]
    index, fraction = [], []
    for axis, count in enumerate(cells):
        position = torch.nan_to_num((points[:, axis].detach() + 1.0) * 0.5 * count, nan=0.0)
        position = position.clamp(0.0, float(count))
        cell = position.floor().long().clamp(max=count - 1)
        index.append(cell)
        fraction.append(position - cell)
    (x, y, z), (fx, fy, fz) = index, fraction
    low, high = (
        [grid[z + up, y + north, x + side] for up in (0, 1) for north in (0, 1)] for side in (0, 1)
    )
    along_x = [b - a for a, b in zip(low, high, strict=True)]
    at_x = [a + fx * rise for a, rise in zip(low, along_x, strict=True)]
    below, above = torch.lerp(at_x[0], at_x[1], fy), torch.lerp(at_x[2], at_x[3], fy)
    gradient = [
        torch.lerp(
            torch.lerp(along_x[0], along_x[1], fy), torch.lerp(along_x[2], along_x[3], fy), fz
        ),
        torch.lerp(at_x[1] - at_x[0], at_x[3] - at_x[2], fz),
        above - below,
    ]
    value = torch.lerp(below, above, fz)
    return value, torch.stack([g * (0.5 * n) for g, n in zip(gradient, cells, strict=True)], 1)


def sample_grid_fused(
    grid: Float[Tensor, "d h w"], points: Float[Tensor, "n 3"]
) -> Float[Tensor, "n"]:
    """Values alone by torch's one fused kernel: what runs on a GPU where no gradient is wanted."""
    finite = torch.nan_to_num(points.detach(), nan=-1.0)
    return functional.grid_sample(
        grid.detach().to(points.dtype)[None, None],
        finite[None, None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    ).view(-1)


def _compiled(grid: Tensor, points: Tensor) -> bool:
    """True where the numba kernel applies: float32 on the CPU."""
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in (grid, points))

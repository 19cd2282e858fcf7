"""Zero level of a signed distance field, evaluated only near it.

A field is asked on a coarse lattice first; then 8^3 blocks of fine nodes are filled in where the
surface may be, and from there the surface is followed from block to block, so that no crossing of a
connected surface is lost however badly the field's values serve as distances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mcubes
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from backend.errors import HumanRefError
from backend.geometry.mesh import Mesh

Sdf = Callable[[Tensor], Tensor]
"""(n, 3) float32 points in the field frame to (n,) signed distances, negative inside."""

BLOCK = 8
POINTS_AT_ONCE = 32_768
# How much faster than a true distance (slope 1) the values may change before a block could be missed.
SLOPE_MARGIN = 1.75


@dataclass(frozen=True)
class SparseVolume:
    """A box of the regular lattice with spacing ``step`` over [-1, 1]^3, axes (x, y, z).

    Nodes of evaluated blocks hold the field's own values; the others hold their block's coarse value,
    which has the right sign.
    """

    values: Float32[np.ndarray, "x y z"]
    origin: Int[np.ndarray, "3"]
    """Lattice index of ``values[0, 0, 0]``."""
    step: float
    """Field units between neighbouring nodes."""
    evaluated: int
    """How many points the field was asked for."""

    def to_field(self, index: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Positions in ``values`` (fractional indices) to the field frame."""
        points: np.ndarray = (index + self.origin) * self.step - 1.0
        return points


def evaluate_sparse(sdf: Sdf, resolution: int, device: torch.device | str = "cpu") -> SparseVolume:
    """Sample a field on resolution^3 nodes over [-1, 1]^3, in full only near its zero level.

    Raises:
        HumanRefError: ``empty_field`` when the field has no inside or no outside, ``field_not_finite``
            when it returns NaN or infinity.
    """
    blocks = -(-resolution // BLOCK)
    step = 2.0 / (resolution - 1)
    middle = (np.arange(blocks) * BLOCK + 0.5 * (BLOCK - 1)) * step - 1.0
    centers = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), -1).reshape(-1, 3)
    coarse = _ask(sdf, centers, device).reshape(blocks, blocks, blocks)
    reach = SLOPE_MARGIN * np.sqrt(3.0) * (0.5 * BLOCK + 0.5) * step
    wanted = np.abs(coarse) < reach
    slot = np.full(coarse.shape, -1, np.int64)
    stored: list[Float32[np.ndarray, "b 8 8 8"]] = []
    count = 0
    while wanted.any():
        new = np.argwhere(wanted)
        stored.append(_ask_blocks(sdf, new, step, device))
        slot[tuple(new.T)] = np.arange(count, count + len(new))
        count += len(new)
        wanted = _unseen_neighbours(new, stored[-1], slot, coarse)
    if count == 0 or not (_any(stored, True) and _any(stored, False)):
        raise HumanRefError(
            "empty_field",
            "The fitted shape has no surface inside the working cube.",
            "Check the silhouette and the pose, then generate again.",
        )
    return _assemble(np.concatenate(stored), slot, coarse, resolution, step, count, len(centers))


def _any(stored: list[np.ndarray], inside: bool) -> bool:
    return any(((s < 0) == inside).any() for s in stored)


def _ask(sdf: Sdf, points: np.ndarray, device: torch.device | str) -> np.ndarray:
    values = np.empty(len(points), np.float32)
    with torch.no_grad():
        for start in range(0, len(points), POINTS_AT_ONCE):
            part = torch.as_tensor(points[start : start + POINTS_AT_ONCE], dtype=torch.float32)
            values[start : start + POINTS_AT_ONCE] = sdf(part.to(device)).cpu().numpy()
    if not np.isfinite(values).all():
        raise HumanRefError(
            "field_not_finite",
            "The fitted shape contains values that are not finite numbers.",
            "Generate again with another --seed, or without --resume.",
        )
    return values


def _ask_blocks(sdf: Sdf, index: np.ndarray, step: float, device: torch.device | str) -> np.ndarray:
    local = np.stack(np.meshgrid(*[np.arange(BLOCK)] * 3, indexing="ij"), -1)
    values = np.empty((len(index), BLOCK, BLOCK, BLOCK), np.float32)
    at_once = POINTS_AT_ONCE // BLOCK**3
    for start in range(0, len(index), at_once):
        part = index[start : start + at_once]
        nodes = part[:, None, None, None, :] * BLOCK + local
        points = (nodes * step - 1.0).reshape(-1, 3)
        values[start : start + at_once] = _ask(sdf, points, device).reshape(-1, *[BLOCK] * 3)
    return values


def _unseen_neighbours(
    new: np.ndarray, values: np.ndarray, slot: np.ndarray, coarse: np.ndarray
) -> Bool[np.ndarray, "b b b"]:
    """Blocks not yet evaluated whose assumed sign disagrees with a node next to them."""
    wanted = np.zeros(coarse.shape, bool)
    for axis in range(3):
        for side, layer in ((-1, 0), (1, BLOCK - 1)):
            neighbour = new.copy()
            neighbour[:, axis] += side
            exists = (neighbour[:, axis] >= 0) & (neighbour[:, axis] < coarse.shape[axis])
            there = tuple(neighbour[exists].T)
            touching = values[exists].take(layer, axis + 1).reshape(int(exists.sum()), -1) < 0
            assumed = (coarse[there] < 0)[:, None]
            disagree = (slot[there] < 0) & (touching != assumed).any(1)
            wanted[tuple(neighbour[exists][disagree].T)] = True
    return wanted


def _assemble(
    values: np.ndarray,
    slot: np.ndarray,
    coarse: np.ndarray,
    resolution: int,
    step: float,
    count: int,
    asked_coarse: int,
) -> SparseVolume:
    active = np.argwhere(slot >= 0)
    low, high = active.min(0), active.max(0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    chosen, assumed = slot[box], coarse[box]
    grid = np.broadcast_to(assumed[..., None, None, None], (*assumed.shape, *[BLOCK] * 3)).copy()
    grid[chosen >= 0] = values[chosen[chosen >= 0]]
    shape = np.array(assumed.shape) * BLOCK
    dense = grid.transpose(0, 3, 1, 4, 2, 5).reshape(shape)
    end = np.minimum(shape, resolution - low * BLOCK)
    return SparseVolume(
        values=np.ascontiguousarray(dense[: end[0], : end[1], : end[2]]),
        origin=low * BLOCK,
        step=step,
        evaluated=count * BLOCK**3 + asked_coarse,
    )


def marching_cubes(volume: SparseVolume) -> Mesh:
    """The closed zero level of a volume, field frame, triangles counter-clockwise from outside.

    The surface is closed at the volume's border, and within a twentieth of a node spacing of the level
    that linear interpolation gives.
    """
    values = np.pad(volume.values, 1, constant_values=volume.step)
    # A crossing next to a node makes slivers; later the vertices are projected back onto the level.
    least = np.float32(0.05 * volume.step)
    values = np.where(np.abs(values) < least, np.where(values < 0, -least, least), values)
    vertices, faces = mcubes.marching_cubes(values, 0.0)
    return Mesh(
        vertices=volume.to_field(vertices - 1.0).astype(np.float32),
        faces=np.ascontiguousarray(faces[:, ::-1], np.int32),
    )

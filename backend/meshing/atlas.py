"""Charts packed into one square texture: none overlaps another, a margin lies around each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from backend.meshing.charts import Charts

MARGIN = 2.0
"""Texels around a chart that no other chart enters (fewer where hundreds of charts crowd a small one)."""

# Cells along the texture's edge in which charts are laid out; coarser packs worse, finer slower.
_CELLS = 512
# First try: the charts' own area fills this share of the texture; then smaller by steps.
_FIRST_FILL, _STEP = 0.8, 0.96


@dataclass(frozen=True)
class Atlas:
    """Where each corner of each face lies in the texture."""

    texels: Float[np.ndarray, "f 3 2"]
    """To the right and down from the outer corner of the top left texel, in texels."""
    side: int
    density: float
    """Texels along a unit of length of a chart with weight 1."""

    @property
    def uv(self) -> Float[np.ndarray, "n 2"]:
        """(f * 3, 2) float32, a corner each; v up, both in [0, 1]."""
        flat = self.texels.reshape(-1, 2) / self.side
        return np.stack([flat[:, 0], 1.0 - flat[:, 1]], 1).astype(np.float32)


def pack(charts: Charts, weight: Float[np.ndarray, "c"], side: int) -> Atlas:
    """Lay charts out in a square of ``side`` texels, as large as they fit.

    Args:
        weight: texel density of each chart relative to the others (in length, not area).
        side: texels.
    """
    cell = max(1, side // _CELLS)
    cells = side // cell
    corners = charts.corners.astype(np.float64) * weight[charts.of_face][:, None, None]
    # Rows run down, and every chart starts at its own corner.
    corners[..., 1] *= -1.0
    low = np.full((charts.count, 2), np.inf)
    np.minimum.at(low, charts.of_face, corners.min(1))
    corners -= low[charts.of_face][:, None]
    edges = corners[:, 1:] - corners[:, :1]
    area = 0.5 * np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).sum()
    density = side * np.sqrt(_FIRST_FILL / max(float(area), 1e-30))
    crowded = 0.5 * density
    while True:
        # Margins do not shrink with the charts: alone they could fill a small texture.
        margin = MARGIN * min(1.0, float(density) / crowded)
        scaled = corners * density + margin
        place = _try(scaled / cell, charts.of_face, charts.count, cells, margin / cell)
        if place is not None:
            texels = scaled + cell * place[charts.of_face][:, None]
            return Atlas(texels, side, float(density))
        density *= _STEP


def _try(
    grid: Float[np.ndarray, "f 3 2"],
    of_face: Int[np.ndarray, "f"],
    count: int,
    cells: int,
    margin: float,
) -> Int[np.ndarray, "c 2"] | None:
    """The cell (column, row) at which each chart starts; None when they do not all fit."""
    high = np.zeros((count, 2))
    np.maximum.at(high, of_face, grid.max(1))
    size = np.floor(high + margin).astype(np.int64) + 1
    if size.max() > cells:
        return None
    start = np.concatenate([[0], np.cumsum(size.prod(1))])
    bits = np.zeros(start[-1], np.bool_)
    _cover(grid, of_face, start, size, margin, bits)
    order = np.argsort(-np.add.reduceat(bits.astype(np.int64), start[:-1]), kind="stable")
    place = np.empty((count, 2), np.int64)
    return place if _place(bits, start, size, order, cells, place) else None


@njit(cache=True, nogil=True)
@no_type_check
def _cover(grid, of_face, start, size, margin, bits):
    """Mark the cells that come within ``margin`` cells of a triangle (or a little farther)."""
    for f in range(len(grid)):
        c = of_face[f]
        width, height = size[c, 0], size[c, 1]
        left = max(0, int(np.floor(grid[f, :, 0].min() - margin)))
        right = min(width - 1, int(np.floor(grid[f, :, 0].max() + margin)))
        top = max(0, int(np.floor(grid[f, :, 1].min() - margin)))
        bottom = min(height - 1, int(np.floor(grid[f, :, 1].max() + margin)))
        area = (grid[f, 1, 0] - grid[f, 0, 0]) * (grid[f, 2, 1] - grid[f, 0, 1])
        area -= (grid[f, 1, 1] - grid[f, 0, 1]) * (grid[f, 2, 0] - grid[f, 0, 0])
        sign = 1.0 if area >= 0.0 else -1.0
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                near = True
                for k in range(3):
                    ax, ay = grid[f, k, 0], grid[f, k, 1]
                    ex, ey = grid[f, (k + 1) % 3, 0] - ax, grid[f, (k + 1) % 3, 1] - ay
                    length = np.sqrt(ex * ex + ey * ey)
                    # Distance of the cell's centre outside the edge, against half the cell's reach.
                    outside = -sign * (ex * (i + 0.5 - ay) - ey * (j + 0.5 - ax))
                    if outside > length * margin + 0.5 * (abs(ex) + abs(ey)):
                        near = False
                        break
                if near:
                    bits[start[c] + i * width + j] = True


@njit(cache=True, nogil=True)
@no_type_check
def _place(bits, start, size, order, cells, place):
    """Largest first, each at the first free place from the top, then from the left."""
    # Of each cell: the last taken column up to it in its row, -1 where there is none.
    last = np.full((cells, cells), -1, np.int32)
    for c in order:
        width, height = size[c, 0], size[c, 1]
        # Runs of taken cells: row, first column, last column.
        runs = np.empty((height * (width // 2 + 1), 3), np.int64)
        count = 0
        for i in range(height):
            j = 0
            while j < width:
                if bits[start[c] + i * width + j]:
                    begin = j
                    while j < width and bits[start[c] + i * width + j]:
                        j += 1
                    runs[count, 0], runs[count, 1], runs[count, 2] = i, begin, j - 1
                    count += 1
                j += 1
        found = False
        for y in range(cells - height + 1):
            x = 0
            while x <= cells - width:
                step = 0
                for r in range(count):
                    taken = last[y + runs[r, 0], x + runs[r, 2]]
                    if taken >= x + runs[r, 1]:
                        step = taken - (x + runs[r, 1]) + 1
                        break
                if step == 0:
                    found = True
                    break
                x += step
            if found:
                place[c, 0], place[c, 1] = x, y
                break
        if not found:
            return False
        for r in range(count):
            row = place[c, 1] + runs[r, 0]
            begin, end = place[c, 0] + runs[r, 1], place[c, 0] + runs[r, 2]
            for j in range(begin, end + 1):
                last[row, j] = j
            j = end + 1
            while j < cells and last[row, j] < end:
                last[row, j] = end
                j += 1
    return True

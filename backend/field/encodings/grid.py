"""The hash grid's layout: how many levels, how fine, and where each lies in the one flat table.

Same table as tiny-cuda-nn's ``GridEncoding`` (type Hash, linear interpolation, 2 features a level), so
that a table trained with one encoder is read by every other:

* level l has ``scale = exp2(l * log2(growth)) * base - 1`` and ``resolution = ceil(scale) + 1`` points
  along an edge; a point x in [0, 1]^3 lies at ``x * scale + 0.5`` in that level's grid;
* a level whose resolution^3 points fit into 2^log2_table entries is dense (x fastest, then y, then z;
  the size rounded up to a multiple of 8), any other one is hashed with the primes (1, 2654435761,
  805459861) modulo 2^log2_table; indices beyond a dense level's size wrap around;
* levels follow each other, entry after entry, two float32 features an entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backend.errors import HumanRefError
from backend.settings import FieldSettings

FEATURES = 2
"""Features of one table entry."""

HASH_PRIMES = (1, 2654435761, 805459861)

# Keeps the finest scale just below a whole number: its ceil, and so the table's size, must not depend
# on the last bit of a machine's exp2.
_SHAVE = 1e-6


@dataclass(frozen=True)
class HashGridLayout:
    """Shape of the hash grid (3.2); everything an encoder needs besides the table.

    Args:
        levels: number of resolutions.
        log2_table: log2 of the largest number of entries of one level.
        base_resolution: points along the cube's edge at the coarsest level.
        growth: factor between the resolutions of neighbouring levels.

    Raises:
        HumanRefError: ``field_settings_invalid`` if the numbers cannot make a grid.
    """

    levels: int
    log2_table: int
    base_resolution: int
    growth: float

    def __post_init__(self) -> None:
        fits = 1 <= self.levels <= 32 and 3 <= self.log2_table <= 24
        if not (fits and self.base_resolution >= 2 and self.growth >= 1.0):
            raise HumanRefError(
                "field_settings_invalid",
                f"No hash grid has {self.levels} levels of 2^{self.log2_table} entries from "
                f"resolution {self.base_resolution} growing by {self.growth:g}.",
                "Use 1-32 levels, 2^3-2^24 entries, a base resolution of at least 2 and a maximum "
                "not below it.",
            )

    @classmethod
    def from_settings(cls, settings: FieldSettings) -> HashGridLayout:
        """The layout that ``settings`` asks for; ``max_resolution`` is reached at the last level."""
        steps = max(1, settings.levels - 1)
        ratio = settings.max_resolution / max(1, settings.base_resolution)
        growth = ratio ** (1.0 / steps)
        if growth > 1.0:
            growth = max(1.0, growth * (1.0 - _SHAVE))
        return cls(settings.levels, settings.log2_table, settings.base_resolution, growth)

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Cells along the cube's edge a level (float32 values, as tiny-cuda-nn computes them)."""
        log2_growth = np.log2(np.float32(self.growth))
        return tuple(
            float(np.exp2(np.float32(level) * log2_growth) * np.float32(self.base_resolution)) - 1.0
            for level in range(self.levels)
        )

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Grid points along the cube's edge, a level."""
        return tuple(int(np.ceil(scale)) + 1 for scale in self.scales)

    @cached_property
    def dense(self) -> tuple[bool, ...]:
        """True where a level is stored point by point, False where it is hashed."""
        return tuple(r**3 <= 1 << self.log2_table for r in self.resolutions)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Entries a level."""
        largest = 1 << self.log2_table
        return tuple(
            min((r**3 + 7) // 8 * 8, largest) if dense else largest
            for r, dense in zip(self.resolutions, self.dense, strict=True)
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each level, and the total behind the last: ``levels + 1`` numbers."""
        return tuple(int(n) for n in np.concatenate([[0], np.cumsum(self.sizes)]))

    @property
    def total(self) -> int:
        """Entries of the whole table, whose shape is ``(total, 2)``."""
        return self.offsets[-1]

    @property
    def width(self) -> int:
        """Features of one encoded point: two a level."""
        return FEATURES * self.levels

"""What a hash encoding offers; the readable twin and the fast ones behave the same."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from backend.field.encodings.grid import HashGridLayout


@runtime_checkable
@runtime_checkable
class HashEncoding(Protocol):
    """Multi-resolution hash encoding of points in the unit cube (3.2).

    Points outside [0, 1]^3 are read at the nearest point of the cube, a NaN coordinate as 0. Points get
    no gradient: an encoding returns its Jacobian where one is needed. ``levels`` reads the coarsest
    levels only and returns the first ``2 * levels`` features.
    """

    name: str
    layout: HashGridLayout

    def __call__(
        self, x: Float[Tensor, "n 3"], table: Float[Tensor, "t 2"], levels: int | None = None
    ) -> Float[Tensor, "n d"]:
        """Features of ``x``, trilinearly interpolated; differentiable (once) in ``table``."""

    def with_jacobian(
        self,
        x: Float[Tensor, "n 3"],
        table: Float[Tensor, "t 2"],
        jacobian_levels: int | None = None,
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 3 j"]]:
        """All features, and d feature / d x of the coarsest ``jacobian_levels`` levels (default all).

        Both outputs are differentiable (once) in ``table``. At a cell's face the Jacobian is that of
        the cell in which the point is looked up.
        """

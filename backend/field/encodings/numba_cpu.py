"""The fast hash encoding for CPUs: numba kernels behind a torch autograd function."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.field.encodings import kernels
from backend.field.encodings.grid import HashGridLayout


class _LayoutArrays:
    """The layout in the arrays that the kernels read."""

    def __init__(self, layout: HashGridLayout) -> None:
        self.offsets = np.array(layout.offsets, np.int64)
        self.scales = np.array(layout.scales, np.float32)
        self.resolutions = np.array(layout.resolutions, np.int64)
        self.sizes = np.array(layout.sizes, np.int64)
        self.dense = np.array(layout.dense)

    def order(self, levels: int) -> np.ndarray:
        """Levels dealt like cards to the threads, whose shares are contiguous."""
        threads = numba.get_num_threads()
        dealt = [np.arange(first, levels, threads) for first in range(min(threads, levels))]
        return np.concatenate(dealt).astype(np.int64)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, table: Tensor, arrays: _LayoutArrays, levels: int, jacobian_levels: int
    ) -> tuple[Tensor, Tensor]:
        x = x.detach().contiguous()
        features = torch.empty(len(x), 2 * levels)
        jacobian = torch.empty(len(x), 3, 2 * jacobian_levels)
        kernels.encode(
            x.numpy(),
            table.detach().view(-1).numpy(),
            arrays.offsets,
            arrays.scales,
            arrays.resolutions,
            arrays.sizes,
            arrays.dense,
            features.numpy(),
            jacobian.numpy(),
        )
        ctx.save_for_backward(x)
        ctx.arrays = arrays
        ctx.table_shape = table.shape
        return features, jacobian

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        arrays: _LayoutArrays = ctx.arrays
        table_grad = torch.zeros(ctx.table_shape)
        kernels.scatter(
            x.numpy(),
            grads[0].contiguous().numpy(),
            grads[1].contiguous().numpy(),
            arrays.offsets,
            arrays.scales,
            arrays.resolutions,
            arrays.sizes,
            arrays.dense,
            arrays.order(grads[0].shape[1] // 2),
            table_grad.view(-1).numpy(),
        )
        return None, table_grad, None, None, None


class NumbaEncoding:
    """Compiled on the first call (seconds, then cached on disk); float32 on the CPU only.

    Raises:
        HumanRefError: ``encoding_device`` if a tensor is not float32 on the CPU.
    """

    name = "numba"

    def __init__(self, layout: HashGridLayout) -> None:
        self.layout = layout
        self._arrays = _LayoutArrays(layout)

    def __call__(
        self, x: Float[Tensor, "n 3"], table: Float[Tensor, "t 2"], levels: int | None = None
    ) -> Float[Tensor, "n d"]:
        """See :class:`backend.field.encodings.protocol.HashEncoding`."""
        return self._apply(x, table, self.layout.levels if levels is None else levels, 0)[0]

    def with_jacobian(
        self,
        x: Float[Tensor, "n 3"],
        table: Float[Tensor, "t 2"],
        jacobian_levels: int | None = None,
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 3 j"]]:
        """See :class:`backend.field.encodings.protocol.HashEncoding`."""
        count = self.layout.levels if jacobian_levels is None else jacobian_levels
        return self._apply(x, table, self.layout.levels, count)

    def _apply(
        self, x: Tensor, table: Tensor, levels: int, jacobian_levels: int
    ) -> tuple[Tensor, Tensor]:
        for tensor in (x, table):
            if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
                raise HumanRefError(
                    "encoding_device",
                    f"The numba encoding cannot read {tensor.dtype} on {tensor.device}.",
                    "Use float32 on the CPU, or the reference encoding.",
                )
        features, jacobian = _Encode.apply(  # type: ignore[no-untyped-call]
            x, table, self._arrays, levels, jacobian_levels
        )
        return features, jacobian

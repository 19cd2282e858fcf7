"""The fast hash encoding for NVIDIA GPUs where tiny-cuda-nn is absent: Triton behind autograd."""

from __future__ import annotations

import os
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.field.encodings.grid import HashGridLayout


class _LayoutTensors:
    """The layout as small tensors, copied to each device once."""

    def __init__(self, layout: HashGridLayout) -> None:
        self._columns = (
            torch.tensor(layout.scales, dtype=torch.float32),
            torch.tensor(layout.resolutions, dtype=torch.int32),
            torch.tensor(layout.sizes, dtype=torch.int32),
            torch.tensor(layout.offsets, dtype=torch.int64),
            torch.tensor(layout.dense, dtype=torch.int32),
        )
        self._on: dict[torch.device, tuple[Tensor, ...]] = {}

    def on(self, device: torch.device) -> tuple[Tensor, ...]:
        """scales, resolutions, sizes, offsets, dense."""
        if device not in self._on:
            self._on[device] = tuple(column.to(device) for column in self._columns)
        return self._on[device]


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, table: Tensor, layout: _LayoutTensors, levels: int, slopes: int
    ) -> tuple[Tensor, Tensor]:
        from backend.field.encodings import triton_kernels as kernels

        x, table = x.detach().contiguous(), table.detach().contiguous()
        features = x.new_empty(len(x), 2 * levels)
        jacobian = x.new_empty(len(x), 3, 2 * slopes)
        ctx.save_for_backward(x)
        ctx.layout, ctx.table_shape, ctx.counts = layout, table.shape, (levels, slopes)
        if len(x):
            block = int(kernels.BLOCK)
            grid = ((len(x) + block - 1) // block, levels)
            columns = layout.on(x.device)
            kernels.encode[grid](
                x, table, *columns, features, jacobian, len(x), levels, slopes, BLOCK=block
            )
        return features, jacobian

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, None, None]:
        from backend.field.encodings import triton_kernels as kernels

        (x,) = ctx.saved_tensors
        levels, slopes = ctx.counts
        table_grad = x.new_zeros(ctx.table_shape)
        if len(x):
            block = int(kernels.BLOCK)
            grid = ((len(x) + block - 1) // block, levels)
            kernels.scatter[grid](
                x,
                grads[0].contiguous(),
                grads[1].contiguous(),
                *ctx.layout.on(x.device),
                table_grad,
                len(x),
                levels,
                slopes,
                BLOCK=block,
            )
        return None, table_grad, None, None, None


class TritonEncoding:
    """Compiled on the first call (seconds, cached by Triton); float32 on a CUDA device.

    The table's gradient is added up atomically, so its last bits differ from run to run.

    Raises:
        HumanRefError: ``encoding_device`` if a tensor is not float32 on a GPU.
    """

    name = "triton"

    def __init__(self, layout: HashGridLayout) -> None:
        self.layout = layout
        self._tensors = _LayoutTensors(layout)

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

    def _apply(self, x: Tensor, table: Tensor, levels: int, slopes: int) -> tuple[Tensor, Tensor]:
        for tensor in (x, table):
            on_gpu = tensor.device.type == "cuda" or interpreted()
            if not on_gpu or tensor.dtype != torch.float32:
                raise HumanRefError(
                    "encoding_device",
                    f"The triton encoding cannot read {tensor.dtype} on {tensor.device}.",
                    "Use float32 on a CUDA device, or the reference encoding.",
                )
        features, jacobian = _Encode.apply(  # type: ignore[no-untyped-call]
            x, table, self._tensors, levels, slopes
        )
        return features, jacobian


def interpreted() -> bool:
    """True under Triton's interpreter, which runs the kernels on a CPU to develop and test them."""
    return os.environ.get("TRITON_INTERPRET") == "1"

"""The field's networks on a CPU: numba kernels behind a torch autograd function."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.field import network_kernels
from backend.field.mlp import ROUND, FieldNetworks, sdf_network


def evaluate_networks(
    features: Float[Tensor, "n d"],
    jacobian: Float[Tensor, "n 3 j"],
    x: Float[Tensor, "n 3"],
    scale: float,
    *weights: Tensor,
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """SDF residual, its slope ds/dx and colour: arguments and results of :class:`FieldNetworks`.

    The one choice between its two implementations: compiled for float32 on the CPU, torch elsewhere.
    """
    function = CompiledNetworks if _compiles(features) else FieldNetworks
    s, slope, color = function.apply(features, jacobian, x, scale, *weights)
    return s, slope, color


def evaluate_sdf(
    features: Float[Tensor, "n j"], x: Float[Tensor, "n 3"], *weights: Tensor
) -> Float[Tensor, "n"]:
    """The SDF residual alone, from the features that its network reads.

    Compiled for float32 on the CPU where no gradient is asked for, torch elsewhere.
    """
    if torch.is_grad_enabled() or not _compiles(features):
        return sdf_network(torch.cat([features, x], 1), *weights[:3])
    s = x.new_empty(len(x))
    _share_out(
        network_kernels.values,
        _tile(features, weights),
        features.contiguous().numpy(),
        x.contiguous().numpy(),
        np.float32(ROUND),
        _packed(weights),
        s.numpy(),
    )
    return s


class CompiledNetworks(torch.autograd.Function):
    """As :class:`backend.field.mlp.FieldNetworks`; float32 on the CPU."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, jacobian: Tensor, x: Tensor, scale: float, *weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        features, jacobian, x = features.contiguous(), jacobian.contiguous(), x.contiguous()
        s, slope, color = x.new_empty(len(x)), torch.empty_like(x), torch.empty_like(x)
        _share_out(
            network_kernels.forward,
            _tile(features, weights),
            *(t.detach().numpy() for t in (features, jacobian, x)),
            np.float32(scale),
            np.float32(ROUND),
            _packed(weights),
            *(t.numpy() for t in (s, slope, color)),
        )
        ctx.save_for_backward(features, jacobian, x, color, *weights)
        ctx.scale = scale
        return s, slope, color

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        features, jacobian, x, color, *weights = ctx.saved_tensors
        w1, w2, _, c1, c2, c3 = (w.detach().contiguous().numpy() for w in weights)
        transposed = tuple(np.ascontiguousarray(w) for w in (w1.T, w2.T, c1, c2, c3))
        dfeatures, djacobian = torch.empty_like(features), torch.empty_like(jacobian)
        per_block = tuple(np.zeros((network_kernels.BLOCKS, *w.shape), np.float32) for w in weights)
        _share_out(
            network_kernels.backward,
            _tile(features, weights),
            *(t.detach().numpy() for t in (features, jacobian, x, color)),
            np.float32(ctx.scale),
            np.float32(ROUND),
            _packed(weights),
            transposed,
            *(g.contiguous().numpy() for g in grads),
            dfeatures.numpy(),
            djacobian.numpy(),
            per_block,
        )
        dweights = (torch.from_numpy(block.sum(0)) for block in per_block)
        return dfeatures, djacobian, None, None, *dweights


def _packed(weights: tuple[Tensor, ...] | list[Tensor]) -> tuple[np.ndarray, ...]:
    """The weights as :func:`network_kernels.forward` reads them."""
    w1, w2, w3, c1, c2, c3 = (w.detach().numpy() for w in weights)
    to_q = np.float32(0.5 / ROUND)
    arrays = (w1.T * to_q, w1, w2.T * to_q, w2, w3, c1.T, c2.T, c3.T)
    return tuple(np.ascontiguousarray(a) for a in arrays)


def _tile(features: Tensor, weights: tuple[Tensor, ...] | list[Tensor]) -> int:
    return network_kernels.tile_size(
        features.shape[1], *(size for weight in weights for size in weight.shape)
    )


def _compiles(features: Tensor) -> bool:
    return features.device.type == "cpu" and features.dtype == torch.float32


def _share_out(kernel: Callable[..., None], *arguments: Any) -> None:
    """Runs the kernel's blocks on as many threads as numba may use, this one among them."""
    blocks = network_kernels.BLOCKS
    threads = min(numba.get_num_threads(), blocks)
    if threads == 1:
        kernel(0, blocks, *arguments)
        return
    edges = [blocks * k // threads for k in range(threads + 1)]
    with ThreadPoolExecutor(threads - 1) as pool:
        shares = itertools.pairwise(edges[1:])
        others = [pool.submit(kernel, first, last, *arguments) for first, last in shares]
        kernel(0, edges[1], *arguments)
        for other in others:
            other.result()

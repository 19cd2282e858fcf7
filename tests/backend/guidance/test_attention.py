"""The fused form of attention with extra logits against the written-out one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from backend.guidance.attention import LogitFactors, attend, attend_with_bias


def _qkv(width: int, heads: int = 2, m: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(width)
    shapes = ((3, heads, 9, width), (3, heads, m, width), (3, heads, m, width))
    return tuple(  # type: ignore[return-value]
        torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes
    )


# 10 and 6: neither is a multiple of the kernels' 8.
@pytest.mark.parametrize(("width", "rank", "shared"), [(40, 5, 1), (10, 3, 2), (6, 1, 1)])
def test_fused_attention_equals_its_readable_twin(width: int, rank: int, shared: int) -> None:
    query, key, value = _qkv(width)
    factors = tuple(
        LogitFactors(
            torch.randn(3, heads, 9, rank, dtype=torch.float64),
            torch.randn(3, heads, 12, rank, dtype=torch.float64),
        )
        for heads in (shared, 1)
    )
    outputs, gradients = [], []
    for function in (attend, attend_with_bias):
        out = function(query, key, value, factors)
        outputs.append(out)
        gradients.append(torch.autograd.grad(out.sin().sum(), (query, key, value)))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-12)
    for fused, readable in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, readable, rtol=0, atol=1e-12)


def test_without_factors_it_is_the_stock_kernel_bit_for_bit() -> None:
    query, key, value = (x.float() for x in _qkv(8))
    stock = functional.scaled_dot_product_attention(query, key, value)
    assert torch.equal(attend(query, key, value), stock)
    torch.testing.assert_close(attend_with_bias(query, key, value), stock, rtol=0, atol=1e-6)

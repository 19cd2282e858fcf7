"""The low-rank geometry term against its readable twin, and rows that must not see the photo."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.guidance.attention import attend, attend_with_bias
from backend.guidance.geometry_bias import GeometryBias, TokenPlaces, _attend_precisely

ROWS, HEADS, OWN, OTHERS = 3, 4, 6, 5


def places(count: int, seed: int) -> TokenPlaces:
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(ROWS, count, 3, generator=generator, dtype=torch.float64) * 2 - 1
    there = (torch.rand(ROWS, count, generator=generator) > 0.3).double()
    return TokenPlaces(place.requires_grad_(), there)


def test_factors_are_the_dense_bias_in_values_and_gradients() -> None:
    bias = GeometryBias(HEADS).double()
    with torch.no_grad():
        bias.axes += torch.tensor([0.1, -0.2, 0.3])
    query, key = places(OWN, 0), places(OTHERS, 1)
    factors = bias.factors(query, key, None)
    whole, dense = factors.dense(), bias.dense(query, key)
    assert whole.shape == (ROWS, HEADS, OWN, OWN + OTHERS)
    assert not whole[..., :OWN].any()
    # The twin's .15 is a float32.
    torch.testing.assert_close(whole[..., OWN:], dense, rtol=0, atol=1e-5)
    # The formula once more, for one pair of tokens on the body.
    row, q = 1, int(query.there[1].argmax())
    k = int(key.there[row].argmax())
    apart = ((query.place[row, q] - key.place[row, k]) * bias.axes).square().sum()
    by_hand = bias.liking - bias.log_beta.exp() * apart
    torch.testing.assert_close(dense[row, :, q, k], by_hand)

    weight = torch.randn(dense.shape, dtype=torch.float64)
    learned = [bias.log_beta, bias.liking, bias.axes, query.place, key.place]
    ours = torch.autograd.grad((whole[..., OWN:] * weight).sum(), learned)
    twins = torch.autograd.grad((dense * weight).sum(), learned)
    for mine, twin in zip(ours, twins, strict=True):
        torch.testing.assert_close(mine, twin, rtol=1e-6, atol=1e-4)


def test_rows_alone_give_the_reference_no_attention() -> None:
    bias = GeometryBias(HEADS).double()
    alone = torch.tensor([False, True, False])
    factors = bias.factors(places(OWN, 0), places(OTHERS, 1), alone)
    query, own_key, own_value = torch.randn(3, ROWS, HEADS, OWN, 8, dtype=torch.float64)
    key, value = torch.randn(2, ROWS, HEADS, OTHERS, 8, dtype=torch.float64)
    value.requires_grad_()

    def mixed(key: Tensor, value: Tensor) -> Tensor:
        keys, values = torch.cat([own_key, key], 2), torch.cat([own_value, value], 2)
        return attend(query, keys, values, (factors,))

    by_itself = attend(query, own_key, own_value)
    torch.testing.assert_close(mixed(key, value)[1], by_itself[1], rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(mixed(key, value).square().sum(), value)
    assert not gradient[1].any()
    assert gradient[0].any()
    assert gradient[2].any()


def test_half_precision_does_not_reach_the_squares() -> None:
    bias = GeometryBias(HEADS)
    query, key = (
        TokenPlaces(p.place.float(), p.there.float()) for p in (places(OWN, 2), places(OTHERS, 3))
    )
    factors = (bias.factors(query, key, None),)
    q = torch.randn(ROWS, HEADS, OWN, 8).bfloat16()
    k, v = torch.randn(2, ROWS, HEADS, OWN + OTHERS, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        ours = _attend_precisely(q, k, v, factors)
    assert ours.dtype == torch.bfloat16
    exact = attend_with_bias(q.float(), k.float(), v.float(), factors)
    torch.testing.assert_close(ours.float(), exact, rtol=0.01, atol=0.01)

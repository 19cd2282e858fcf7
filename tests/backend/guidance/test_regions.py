"""Region-aware attention against the paper's words (3.3.2)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from backend.errors import HumanRefError
from backend.guidance.attention import attend, attend_with_bias
from backend.guidance.regions import (
    RegionMaps,
    TokenShares,
    hiding_factors,
    region_factors,
    repeat_rows,
    token_factors,
)

ROWS, HEADS, N, M, WIDTH = 2, 3, 16, 32, 40


def _inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)

    def draw(tokens: int) -> Tensor:
        x = torch.randn(ROWS, HEADS, tokens, WIDTH, generator=generator, dtype=torch.float64)
        return x.to(dtype).requires_grad_()

    own = torch.randint(0, 5, (ROWS, N), generator=generator)
    other = torch.randint(0, 5, (ROWS, M - N), generator=generator)
    return draw(N), draw(M), draw(M), own, torch.cat([own, other], 1)


def _by_definition(
    query: Tensor, key: Tensor, value: Tensor, foreign: Tensor, gamma: float
) -> Tensor:
    """Softmax scores, those outside the own region times gamma, the row normalised again."""
    scores = (query @ key.transpose(-1, -2) / WIDTH**0.5).softmax(-1)
    scores = torch.where(foreign[:, None], gamma * scores, scores)
    return scores / scores.sum(-1, keepdim=True) @ value


@pytest.mark.parametrize("function", [attend, attend_with_bias])
@pytest.mark.parametrize("gamma", [0.3, 0.9, 1e-3])
@pytest.mark.parametrize("background_is_region", [True, False])
def test_gamma_multiplies_scores_outside_the_region_and_renormalises(
    function: object, gamma: float, background_is_region: bool
) -> None:
    query, key, value, own, keys = _inputs()
    foreign = own[:, :, None] != keys[:, None, :]
    if not background_is_region:
        foreign |= (own == 0)[:, :, None] | (keys == 0)[:, None, :]
    term = region_factors(own, keys, gamma, background_is_region, torch.float64)
    ours = function(query, key, value, (term,))  # type: ignore[operator]
    exact = _by_definition(query, key, value, foreign, gamma)
    torch.testing.assert_close(ours, exact, rtol=0, atol=1e-12)
    wanted = torch.autograd.grad(exact.cos().sum(), (query, key, value))
    found = torch.autograd.grad(ours.cos().sum(), (query, key, value))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_gamma_near_zero_forbids_other_regions() -> None:
    query, key, value, own, keys = _inputs()
    ours = attend(query, key, value, (region_factors(own, keys, 1e-30),))
    foreign = own[:, :, None] != keys[:, None, :]
    logits = (query @ key.transpose(-1, -2) / WIDTH**0.5).masked_fill(foreign[:, None], -torch.inf)
    torch.testing.assert_close(ours, logits.softmax(-1) @ value, rtol=0, atol=1e-6)


def test_gamma_one_adds_nothing_at_all() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    assert token_factors(RegionMaps(labels, labels[0], gamma=1.0), [(4, 4)]) == {16: ()}


def test_hidden_keys_get_exactly_no_attention() -> None:
    query, key, value, own, keys = _inputs()
    hidden = torch.zeros(ROWS, M, dtype=torch.bool)
    hidden[0, N + 3 :] = True
    terms = (region_factors(own, keys, 0.3), hiding_factors(hidden, N))
    changed = value.detach().clone()
    changed[0, :, N + 3 :] = 1e6
    assert torch.equal(attend(query, key, value, terms), attend(query, key, changed, terms))
    assert not torch.equal(
        attend(query, key, value, terms[:1]), attend(query, key, changed, terms[:1])
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 4e-3), (torch.float16, 6e-4)])
def test_half_precision_keeps_gamma(dtype: torch.dtype, tolerance: float) -> None:
    """What rounding the key's term alone does to a preference of gamma = 0.3."""
    term = region_factors(torch.ones(1, 1).long(), torch.ones(1, 1).long(), 0.3)
    scale = WIDTH**-0.5
    rounded = (term.key / scale).to(dtype).double()
    logit = (term.query.to(dtype).double() * rounded).sum() * scale
    assert abs(float(torch.exp(-logit)) - 0.3) / 0.3 < tolerance


def test_majority_speaks_for_a_token_and_ties_go_to_the_lower_label() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    labels[0, :4, :4] = 2
    # The pixel that nearest sampling would take.
    labels[0, 0, 0] = labels[0, 2, 2] = 4
    labels[0, 4:, :4] = torch.tensor([3, 1, 3, 1])
    shares = TokenShares.of_labels(labels, (4, 4))
    assert shares.majority((2, 2)).tolist() == [[2, 0, 1, 0]]
    assert shares.majority((1, 1)).tolist() == [[0]]
    # Tokens that the finest ones do not divide into are counted from the pixels.
    exact = TokenShares.of_labels(labels, (3, 3))
    assert torch.equal(shares.at((3, 3)), exact.at((3, 3)))
    assert exact.at((2, 2))[0, 2, 0] == 14 / 16


def test_small_faces_are_hidden_at_coarse_levels_too() -> None:
    face = torch.zeros(1, 64, 64, dtype=torch.bool)
    face[0, 4:10, 30:34] = True
    hidden = token_factors(
        RegionMaps(torch.ones(1, 64, 64).int(), torch.ones(64, 64).int(), 1.0, hidden=face),
        [(16, 16)],
    )[256]
    assert len(hidden) == 1
    keys = hidden[0].key[0, 0, :, 0]
    assert (keys[:256] == 0).all(), "a target may always look at itself"
    assert 1 <= (keys[256:] < -1e2).sum() <= 6


def test_factors_by_number_of_tokens_repeat_for_both_branches() -> None:
    target = torch.randint(0, 5, (3, 32, 32))
    factors = token_factors(RegionMaps(target, target[0]), [(16, 16), (8, 8), (8, 8)])
    assert sorted(factors) == [64, 256]
    both = repeat_rows(factors, 2)[64][0]
    assert both.query.shape == (6, 1, 64, 5)
    assert both.key.shape == (6, 1, 128, 5)
    assert torch.equal(both.key[:3], both.key[3:])


@pytest.mark.parametrize("gamma", [0.0, -0.1, 1.5, float("nan")])
def test_gamma_outside_its_range_is_refused(gamma: float) -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    with pytest.raises(HumanRefError) as raised:
        RegionMaps(labels, labels[0], gamma=gamma)
    assert raised.value.code == "gamma_out_of_range"

"""Region-aware attention (3.3.2): every token prefers tokens of its own part of the body.

The paper multiplies the attention scores of pairs in different regions by gamma and normalises the
row again. Scores being softmax probabilities, that is exactly log(gamma) added to those logits; and
because softmax ignores a constant, also -log(gamma) added to the pairs of the SAME region: a sum over
regions of onehot(query) * onehot(key), of rank 4 or 5, which :mod:`backend.guidance.attention` carries
inside the fused kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.guidance.attention import LogitFactors

PAPER_GAMMA = 0.3
_LABELS = len(Region)
# exp(-1e3) is zero in every float format; times sqrt(head dimension) it is still finite in float16
# (a kernel that meets a block of keys that are all -inf would answer with NaN).
_FORBIDDEN = -1e3
# A token of the reference counts as hidden from this covered share on: faces are small.
_HIDDEN_SHARE = 0.25


@dataclass(frozen=True)
class RegionMaps:
    """Labels of the target views and of the reference picture (values of ``Region``).

    Pictures of any size over the same square crop as the latents, row 0 on top.

    Raises:
        HumanRefError: ``gamma_out_of_range`` unless 0 < gamma <= 1.
    """

    target: Integer[Tensor, "b h w"]
    reference: Integer[Tensor, "hr wr"]
    gamma: float = PAPER_GAMMA
    """What scores outside the own region are multiplied by; 1 = no preference."""
    background_is_region: bool = True
    """True: background prefers background. False: it belongs to none of the paper's four masks, so
    background queries have no preference, and background keys are foreign to every body token."""
    hidden: Bool[Tensor, "b hr wr"] | None = None
    """Reference pixels that a target must not see at all (the face, from behind)."""

    def __post_init__(self) -> None:
        if not 0.0 < self.gamma <= 1.0:
            raise HumanRefError(
                "gamma_out_of_range",
                f"gamma must lie in (0, 1], not {self.gamma}.",
                "The paper uses 0.3; 1 switches the preference for regions off.",
            )


def majority_labels(
    labels: Integer[Tensor, "b h w"], size: tuple[int, int]
) -> Integer[Tensor, "b n"]:
    """The label that covers most of each token, tokens row-major; ties go to the lower label.

    Nearest sampling would let one stray pixel speak for a whole token (64 x 64 pixels at 8 x 8).
    """
    shares = _one_hot(labels, 0).movedim(-1, 1).float()
    return functional.adaptive_avg_pool2d(shares, size).argmax(1).flatten(1)


def covered_share(mask: Bool[Tensor, "b h w"], size: tuple[int, int]) -> Float[Tensor, "b n"]:
    """Share of each token that the mask covers, tokens row-major."""
    return functional.adaptive_avg_pool2d(mask[:, None].float(), size).flatten(1)


def region_factors(
    query_labels: Integer[Tensor, "b n"],
    key_labels: Integer[Tensor, "b m"],
    gamma: float,
    background_is_region: bool = True,
    dtype: torch.dtype = torch.float32,
) -> LogitFactors:
    """The logit term of 3.3.2: -log(gamma) where query and key share a region, else 0.

    Up to a constant a row (which softmax cancels) the same as log(gamma) where they differ.
    """
    first = 0 if background_is_region else 1
    same, keys = (_one_hot(labels, first).to(dtype) for labels in (query_labels, key_labels))
    return LogitFactors(same[:, None], keys[:, None] * -math.log(gamma))


def hiding_factors(hidden_keys: Bool[Tensor, "b m"], queries: int) -> LogitFactors:
    """A logit term that no query survives: hidden keys get exactly zero attention."""
    key = hidden_keys[:, None, :, None].float() * _FORBIDDEN
    return LogitFactors(key.new_ones((key.shape[0], 1, queries, 1)), key)


def token_factors(
    maps: RegionMaps, sizes: Iterable[tuple[int, int]]
) -> dict[int, tuple[LogitFactors, ...]]:
    """All terms of a U-Net pass, by number of tokens; keys are [own tokens, reference tokens].

    Args:
        maps: labels of b targets and their common reference.
        sizes: rows and columns of the tokens at each attention resolution.

    Rows are the b targets; a caller with both CFG branches repeats them (:func:`repeat_rows`).
    """
    factors: dict[int, tuple[LogitFactors, ...]] = {}
    for size in sizes:
        tokens = size[0] * size[1]
        if tokens not in factors:
            factors[tokens] = _factors_at(maps, size)
    return factors


def _factors_at(maps: RegionMaps, size: tuple[int, int]) -> tuple[LogitFactors, ...]:
    terms: list[LogitFactors] = []
    own = majority_labels(maps.target, size)
    if maps.gamma < 1.0:
        of_reference = majority_labels(maps.reference[None], size).expand(len(own), -1)
        keys = torch.cat([own, of_reference], 1)
        terms.append(region_factors(own, keys, maps.gamma, maps.background_is_region))
    if maps.hidden is not None:
        hidden = covered_share(maps.hidden, size) > _HIDDEN_SHARE
        keys_hidden = torch.cat([torch.zeros_like(own, dtype=torch.bool), hidden], 1)
        terms.append(hiding_factors(keys_hidden, own.shape[1]))
    return tuple(terms)


def repeat_rows(
    factors: dict[int, tuple[LogitFactors, ...]], times: int
) -> dict[int, tuple[LogitFactors, ...]]:
    """The same terms for ``times`` copies of the target rows, copy after copy."""
    return {
        tokens: tuple(
            LogitFactors(term.query.repeat(times, 1, 1, 1), term.key.repeat(times, 1, 1, 1))
            for term in terms
        )
        for tokens, terms in factors.items()
    }


def _one_hot(labels: Tensor, first: int) -> Bool[Tensor, "*shape labels"]:
    # torch's own one_hot looks at the values first, which may wait for the device.
    return labels[..., None] == torch.arange(first, _LABELS, device=labels.device)

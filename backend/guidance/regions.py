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


class TokenShares:
    """How much of each token each channel of a 0/1 picture covers, at any attention resolution.

    Nearest sampling would let one stray pixel speak for a whole token (64 x 64 pixels at 8 x 8).

    Args:
        picture: one channel a label.
        finest: rows and columns of the finest tokens; coarser ones that divide it are averaged from
            there, which gives the same numbers for less work.
    """

    def __init__(self, picture: Bool[Tensor, "b c h w"], finest: tuple[int, int]) -> None:
        self._picture = picture
        self._finest = functional.adaptive_avg_pool2d(picture.float(), finest)

    @staticmethod
    def of_labels(labels: Integer[Tensor, "b h w"], finest: tuple[int, int]) -> TokenShares:
        """One channel for each value of ``Region``."""
        return TokenShares(_one_hot(labels, 0).movedim(-1, 1), finest)

    def at(self, size: tuple[int, int]) -> Float[Tensor, "b c n"]:
        """Shares in [0, 1], tokens row-major."""
        rows, columns = self._finest.shape[-2:]
        if rows % size[0] == 0 and columns % size[1] == 0:
            return functional.adaptive_avg_pool2d(self._finest, size).flatten(2)
        return functional.adaptive_avg_pool2d(self._picture.float(), size).flatten(2)

    def majority(self, size: tuple[int, int]) -> Integer[Tensor, "b n"]:
        """The channel that covers most of each token; ties go to the lower one."""
        return self.at(size).argmax(1)


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
    by_tokens = {size[0] * size[1]: size for size in sizes}
    finest = by_tokens[max(by_tokens)]
    target = TokenShares.of_labels(maps.target, finest)
    reference = TokenShares.of_labels(maps.reference[None], finest)
    hidden = None if maps.hidden is None else TokenShares(maps.hidden[:, None], finest)
    factors: dict[int, tuple[LogitFactors, ...]] = {}
    for tokens, size in by_tokens.items():
        terms: list[LogitFactors] = []
        own = target.majority(size)
        if maps.gamma < 1.0:
            beside = reference.majority(size).expand(len(own), -1)
            keys = torch.cat([own, beside], 1)
            terms.append(region_factors(own, keys, maps.gamma, maps.background_is_region))
        if hidden is not None:
            covered = hidden.at(size)[:, 0] > _HIDDEN_SHARE
            terms.append(hiding_factors(torch.cat([torch.zeros_like(covered), covered], 1), tokens))
        factors[tokens] = tuple(terms)
    return factors


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

"""Reference attention that knows the body: tokens of the same place of it find each other.

A learned, continuous form of region-aware attention (3.3.2): logits towards the reference get

    b_h - beta_h |W (c_query - c_key)|^2

per layer and head h, where c is the canonical place of a token. Tokens of which one shows the body and
the other does not count as sqrt(.15) apart. Expanded, that is a sum of six products of a query's and a
key's number, which :mod:`backend.guidance.attention` carries inside the fused kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backend.guidance.attention import LogitFactors, attend
from backend.guidance.reference_attention import (
    AttentionLayer,
    ReferenceCall,
    ReferenceSelfAttention,
)

# Squared distance that stands for "one is the body, the other is not".
_APART = 0.15
# exp(-1e3) is zero in every float format.
_FORBIDDEN = -1e3
# How sharply the heads look for their own place before training, and how much they like the reference.
_SHARPNESS = (0.01, 20.0, 60.0, 150.0)
_LIKING = (0.0, 3.0, 5.0, 5.0)


@dataclass(frozen=True)
class TokenPlaces:
    """Canonical places of a batch's tokens."""

    place: Float[Tensor, "rows n 3"]
    """Mean over the token's pixels of the body; anything where there are none."""
    there: Float[Tensor, "rows n"]
    """1 where the token shows the body, else 0."""


@dataclass(frozen=True)
class PlacedCall(ReferenceCall):
    """A reference call that also says where the tokens lie."""

    targets: Mapping[int, TokenPlaces] = field(default_factory=dict)
    """By number of tokens; one row a target."""
    references: Mapping[int, TokenPlaces] = field(default_factory=dict)
    """The same of the reference rows."""
    alone: Bool[Tensor, "targets"] | None = None
    """Targets that must not see their reference (the other branch of guidance)."""


class GeometryBias(nn.Module):
    """The learned numbers of one self-attention."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        repeat = torch.arange(heads) % len(_SHARPNESS)
        self.log_beta = nn.Parameter(torch.tensor(_SHARPNESS).log()[repeat])
        self.liking = nn.Parameter(torch.tensor(_LIKING)[repeat])
        self.axes = nn.Parameter(torch.tensor([1.0, 1.0, 0.4]))

    def factors(
        self, query: TokenPlaces, key: TokenPlaces, alone: Bool[Tensor, "rows"] | None
    ) -> LogitFactors:
        """The term for [own tokens, reference tokens]; own ones get none.

        Args:
            query: (rows, n) places of the targets.
            key: (rows, m) places of each target's reference.
            alone: rows that must not see it.
        """
        beta = self.log_beta.exp()[None, :, None]
        q, k = query.place * self.axes, key.place * self.axes
        here, there = query.there[:, None], key.there[:, None]
        q_square, k_square = q.square().sum(-1)[:, None], k.square().sum(-1)[:, None]
        always = self.liking[None, :, None] - _APART * beta * here
        if alone is not None:
            always = always + _FORBIDDEN * alone[:, None, None]
        on_body = beta * (here * (2.0 * _APART - q_square) - _APART)
        asked = torch.cat(
            [
                2.0 * (beta * here)[..., None] * q[:, None],
                torch.stack([on_body, beta * here, always], -1),
            ],
            -1,
        )
        answer = torch.cat(
            [
                there[..., None] * k[:, None],
                torch.stack([there, -there * k_square, torch.ones_like(there)], -1),
            ],
            -1,
        )
        own = answer.new_zeros((answer.shape[0], 1, query.place.shape[1], answer.shape[-1]))
        heads = asked.shape[1]
        return LogitFactors(asked, torch.cat([own, answer], 2).expand(-1, heads, -1, -1))

    def dense(self, query: TokenPlaces, key: TokenPlaces) -> Float[Tensor, "rows heads n m"]:
        """The readable twin of :meth:`factors`, for the reference's keys."""
        away = ((query.place[:, :, None] - key.place[:, None]) * self.axes).square().sum(-1)
        q, k = query.there[:, :, None] > 0.5, key.there[:, None] > 0.5
        away = torch.where(q & k, away, torch.where(q ^ k, _APART, 0.0))[:, None]
        return self.liking[None, :, None, None] - self.log_beta.exp()[None, :, None, None] * away


class PlacedAttention(ReferenceSelfAttention):
    """Reference attention with the geometry's own term; without places it is the plain one."""

    def __init__(self, layer: AttentionLayer, bias: GeometryBias) -> None:
        super().__init__(layer, _attend_precisely)
        self._bias = bias

    def extra_logits(
        self, layer: AttentionLayer, tokens: int, call: ReferenceCall
    ) -> tuple[LogitFactors, ...]:
        """Regions, hidden pixels, and the geometry."""
        plain = super().extra_logits(layer, tokens, call)
        if not isinstance(call, PlacedCall):
            return plain
        beside = call.references[tokens]
        key = TokenPlaces(beside.place[call.rows], beside.there[call.rows])
        return (*plain, self._bias.factors(call.targets[tokens], key, call.alone))


def _attend_precisely(
    query: Tensor, key: Tensor, value: Tensor, factors: tuple[LogitFactors, ...]
) -> Tensor:
    """Squared distances times 150 cancel to small numbers: half precision would not survive it."""
    if not factors:
        return attend(query, key, value)
    with torch.autocast(query.device.type, enabled=False):
        mixed = attend(query.float(), key.float(), value.float(), factors)
    return mixed.to(query.dtype)

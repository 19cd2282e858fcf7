"""Attention whose logits carry a low-rank extra term, without giving up the fused kernel.

softmax(scale * q k^T + a b^T) v is plain attention over longer vectors: with q' = [q, a] and
k' = [k, b / scale] the inner product scale * q' k'^T is the wanted logit. No (queries x keys) tensor
is ever stored, so the fused kernels of ``scaled_dot_product_attention`` still serve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# Fused GPU kernels want head dimensions in whole multiples of this.
_ALIGNMENT = 8


@dataclass(frozen=True)
class LogitFactors:
    """A term a b^T for the attention logits (natural-log units, after scaling).

    ``heads`` is 1 for a term that all heads share. Exactly representable entries (0, 1) belong in
    ``query``: in half precision only ``key`` is then rounded.
    """

    query: Float[Tensor, "rows heads n rank"]
    """a, one row a query."""
    key: Float[Tensor, "rows heads m rank"]
    """b, one row a key."""

    def dense(self) -> Float[Tensor, "rows heads n m"]:
        """The term as the additive bias it stands for."""
        return self.query @ self.key.transpose(-1, -2)


def attend(
    query: Float[Tensor, "rows heads n d"],
    key: Float[Tensor, "rows heads m d"],
    value: Float[Tensor, "rows heads m d"],
    factors: tuple[LogitFactors, ...] = (),
) -> Float[Tensor, "rows heads n d"]:
    """softmax(q k^T / sqrt(d) + sum of the factors' terms) v, by the fused kernel.

    Without factors this is ``scaled_dot_product_attention`` itself.
    """
    if not factors:
        return functional.scaled_dot_product_attention(query, key, value)
    width = query.shape[-1]
    # The padded vectors' own 1/sqrt would be another scale: the original one is passed on.
    scale = width**-0.5
    heads = max(factor.query.shape[1] for factor in factors)
    extra_query = torch.cat([f.query.expand(-1, heads, -1, -1) for f in factors], -1)
    extra_key = torch.cat([f.key.expand(-1, heads, -1, -1) for f in factors], -1) / scale
    padding = -(width + extra_query.shape[-1]) % _ALIGNMENT
    longer_query = _append(query, functional.pad(extra_query, (0, padding)))
    longer_key = _append(key, functional.pad(extra_key, (0, padding)))
    # The fused kernels also ask for values as long as the keys.
    longer_value = functional.pad(value, (0, longer_key.shape[-1] - width))
    mixed = functional.scaled_dot_product_attention(
        longer_query, longer_key, longer_value, scale=scale
    )
    return mixed[..., :width]


def attend_with_bias(
    query: Float[Tensor, "rows heads n d"],
    key: Float[Tensor, "rows heads m d"],
    value: Float[Tensor, "rows heads m d"],
    factors: tuple[LogitFactors, ...] = (),
) -> Float[Tensor, "rows heads n d"]:
    """The readable twin of :func:`attend`: logits, bias and softmax written out."""
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    for factor in factors:
        logits = logits + factor.dense()
    return logits.softmax(-1) @ value


def _append(vectors: Tensor, extra: Tensor) -> Tensor:
    shape = (*vectors.shape[:-1], extra.shape[-1])
    return torch.cat([vectors, extra.to(vectors.dtype).expand(shape)], -1)

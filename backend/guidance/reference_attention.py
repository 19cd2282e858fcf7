"""Reference self-attention (3.3.1): the target also looks at the reference picture's features.

In every self-attention of the U-Net the target's queries meet the keys and values of its own normed
states joined with those of the reference at the same depth. The state lives in a
:class:`ReferenceCall` handed to each U-Net pass; processors themselves remember nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from backend.guidance.attention import LogitFactors, attend

AttendFunction = Callable[[Tensor, Tensor, Tensor, tuple[LogitFactors, ...]], Tensor]


@dataclass(frozen=True)
class AttentionLayer:
    """One self-attention of a U-Net."""

    index: int
    """Place in the U-Net's own listing (down, up, middle blocks); key of recorded states."""
    name: str
    level: int
    """0 = latent resolution; each level halves it."""
    channels: int
    """Width of the normed states before this self-attention."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of its tokens for latents of this size (stride-2 convolutions round up)."""
        for _ in range(self.level):
            height, width = -(-height // 2), -(-width // 2)
        return height, width


@dataclass(frozen=True)
class ReferenceCall:
    """What the self-attentions of one U-Net pass do with its rows.

    The first ``leading`` rows of the batch are reference pictures, denoised normally (they attend to
    themselves only); all others are targets. A target joins row ``rows[i]`` of the references: of the
    leading rows, or of ``memory`` where their states were recorded earlier.
    """

    rows: Int[Tensor, "targets"]
    """Which reference each target row joins."""
    leading: int = 0
    memory: Mapping[int, Float[Tensor, "_ _ _"]] | None = None
    """Recorded states by layer index; None = the references are the leading rows."""
    factors: Mapping[int, tuple[LogitFactors, ...]] = field(default_factory=dict)
    """Extra logits of the target rows by number of own tokens; keys are [own, reference]."""


@dataclass(frozen=True)
class RecordCall:
    """A pass of references alone that keeps their normed states before each self-attention."""

    states: dict[int, Tensor] = field(default_factory=dict)
    """Filled by the pass: layer index -> (rows, tokens, channels)."""


class ReferenceSelfAttention:
    """A diffusers attention processor; without a call it computes what the stock one does.

    Args:
        layer: the self-attention it serves, or None for a cross-attention (which never joins).
        attend_function: fused by default; the readable twin for tests.
    """

    def __init__(
        self, layer: AttentionLayer | None, attend_function: AttendFunction = attend
    ) -> None:
        self.layer = layer
        self._attend = attend_function

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        reference: ReferenceCall | RecordCall | None = None,
    ) -> Tensor:
        """(rows, tokens, channels) normed states to the attention's output of the same shape.

        ``reference`` arrives through the U-Net's ``cross_attention_kwargs``.
        """
        if attention_mask is not None or hidden_states.ndim != 3:
            raise ValueError("reference attention serves plain transformer blocks without masks")
        states = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = _split_heads(attn, attn.to_q(hidden_states))
        key = _split_heads(attn, attn.to_k(states))
        value = _split_heads(attn, attn.to_v(states))
        if self.layer is None or reference is None:
            mixed = self._attend(query, key, value, ())
        elif isinstance(reference, RecordCall):
            reference.states[self.layer.index] = hidden_states.detach()
            mixed = self._attend(query, key, value, ())
        else:
            mixed = self._join(attn, self.layer, query, key, value, reference)
        joined = mixed.transpose(1, 2).reshape(hidden_states.shape).to(query.dtype)
        return attn.to_out[1](attn.to_out[0](joined)) / attn.rescale_output_factor

    def extra_logits(
        self, layer: AttentionLayer, tokens: int, call: ReferenceCall
    ) -> tuple[LogitFactors, ...]:
        """Terms for the target rows' logits; a prior with trained biases adds its own here."""
        return call.factors.get(tokens, ())

    def _join(
        self,
        attn: Any,
        layer: AttentionLayer,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        call: ReferenceCall,
    ) -> Tensor:
        first = call.leading
        if call.memory is None:
            reference_key, reference_value = key[:first], value[:first]
        else:
            memory = call.memory[layer.index].to(query.dtype)
            reference_key = _split_heads(attn, attn.to_k(memory))
            reference_value = _split_heads(attn, attn.to_v(memory))
        targets = self._attend(
            query[first:],
            torch.cat([key[first:], reference_key[call.rows]], 2),
            torch.cat([value[first:], reference_value[call.rows]], 2),
            self.extra_logits(layer, query.shape[2], call),
        )
        if first == 0:
            return targets
        references = self._attend(query[:first], key[:first], value[:first], ())
        return torch.cat([references, targets])


def install_reference_attention(
    unet: Any,
    attend_function: AttendFunction = attend,
    joined: Callable[[AttentionLayer], ReferenceSelfAttention] | None = None,
) -> tuple[AttentionLayer, ...]:
    """Give every attention of a diffusers ``UNet2DConditionModel`` our processor.

    Args:
        unet: the network.
        attend_function: fused by default; the readable twin for tests.
        joined: makes the processor of a self-attention, for priors with trained biases.

    Returns the self-attentions in order. Stable Diffusion 1.x has 16: 6 down, 1 middle, 9 up.

    Raises:
        ValueError: for a U-Net whose self-attentions are not those of plain transformer blocks.
    """
    levels = len(unet.config.block_out_channels)
    processors: dict[str, ReferenceSelfAttention] = {}
    layers: list[AttentionLayer] = []
    for name in unet.attn_processors:
        path = name.removesuffix(".processor")
        module = unet.get_submodule(path)
        _check_plain(path, module)
        if path.endswith("attn2"):
            processors[name] = ReferenceSelfAttention(None, attend_function)
            continue
        layer = AttentionLayer(
            len(layers), path, _level(path, levels), int(module.to_q.in_features)
        )
        layers.append(layer)
        processors[name] = (
            ReferenceSelfAttention(layer, attend_function) if joined is None else joined(layer)
        )
    unet.set_attn_processor(processors)
    return tuple(layers)


def _check_plain(path: str, module: Any) -> None:
    odd = [
        part
        for part in ("spatial_norm", "group_norm", "norm_q", "norm_k", "norm_cross")
        if getattr(module, part, None) is not None
    ]
    if odd or module.residual_connection or not path.endswith(("attn1", "attn2")):
        raise ValueError(f"{path} is no attention of a plain transformer block: {odd}")


def _level(path: str, levels: int) -> int:
    block, index = path.split(".")[:2]
    if block == "down_blocks":
        return int(index)
    if block == "up_blocks":
        return levels - 1 - int(index)
    return levels - 1


def _split_heads(attn: Any, states: Tensor) -> Tensor:
    """(rows, tokens, heads * d) to (rows, heads, tokens, d)."""
    rows, tokens, width = states.shape
    return states.view(rows, tokens, attn.heads, width // attn.heads).transpose(1, 2)

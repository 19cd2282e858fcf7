"""One pass of a conditional U-Net over references and targets, in both guidance branches.

Rows of the batch: [references, targets], each [negative branch, positive branch]; without guidance
only the positive one; without a reference, or with a cached one, only targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from backend.guidance.prior import CachedReference, Condition, Reference, add_noise
from backend.guidance.reference_attention import AttentionLayer, RecordCall, ReferenceCall
from backend.guidance.regions import RegionMaps, repeat_rows, token_factors


@dataclass(frozen=True)
class ReferenceUNet:
    """A diffusers ``UNet2DConditionModel`` with our attention processors installed.

    ``forward`` is the network itself or its compiled form; ``layers`` come from
    :func:`backend.guidance.reference_attention.install_reference_attention`.
    """

    forward: Any
    layers: tuple[AttentionLayer, ...]
    dtype: torch.dtype
    alphas_cumprod: Float[Tensor, "steps"]

    def predict(
        self,
        latents: Float[Tensor, "b c h w"],
        t: Integer[Tensor, "s"],
        condition: Condition,
        branches: int,
        reference: Reference | CachedReference | None = None,
        regions: RegionMaps | None = None,
    ) -> Float[Tensor, "rows c2 h w"]:
        """The network's raw output (float32) for the targets: ``branches`` * b rows, negative first.

        Args:
            t: (1,) or (b,) timesteps on the latents' device.
            branches: 2 = negative and positive, 1 = positive alone.

        Raises:
            ValueError: for row counts that do not fit each other, or regions without a reference.
        """
        b = latents.shape[0]
        if regions is not None and reference is None:
            raise ValueError("region-aware attention needs a reference")
        if t.shape[0] not in (1, b):
            raise ValueError(f"{t.shape[0]} timesteps for {b} pictures")
        own = _Rows.of(latents, t.expand(b), condition, branches)
        if reference is None:
            return self._run(own, None)
        if isinstance(reference, CachedReference):
            if reference.branches != branches:
                raise ValueError(f"cache of {reference.branches} branches, pass of {branches}")
            rows = _reference_rows(b, reference.rows, branches, latents.device)
            call = ReferenceCall(
                rows, 0, reference.states, self._factors(latents, regions, branches)
            )
            return self._run(own, call)
        beside = self._noisy_reference(reference, t, b)
        joined = _Rows.of(*beside, reference.condition, branches)
        r = beside[0].shape[0]
        call = ReferenceCall(
            _reference_rows(b, r, branches, latents.device),
            branches * r,
            None,
            self._factors(latents, regions, branches),
        )
        return self._run(joined.followed_by(own), call)[branches * r :]

    def record(
        self,
        reference: Reference,
        t: Integer[Tensor, "1"],
        branches: int,
    ) -> dict[int, Float[Tensor, "_ _ _"]]:
        """Normed states of the reference's own pass before each self-attention, by layer."""
        call = RecordCall()
        beside = self._noisy_reference(reference, t, 1)
        self._run(_Rows.of(*beside, reference.condition, branches), call)
        return call.states

    def _noisy_reference(
        self, reference: Reference, t: Tensor, targets: int
    ) -> tuple[Tensor, Tensor]:
        """Latents (r, c, h, w) and timesteps (r,) of the reference rows."""
        if reference.noise is None:
            return reference.latents, torch.zeros_like(t[:1])
        r = reference.noise.shape[0]
        if r not in (1, targets) or (r == 1 and t.shape[0] > 1):
            raise ValueError(f"{r} reference noises and {t.shape[0]} timesteps for {targets} rows")
        beside = t.expand(r) if t.shape[0] == 1 else t
        clean = reference.latents.expand_as(reference.noise)
        return add_noise(clean, reference.noise, self.alphas_cumprod[beside]), beside

    def _factors(self, latents: Tensor, regions: RegionMaps | None, branches: int) -> dict:
        if regions is None:
            return {}
        if len(regions.target) != len(latents):
            raise ValueError(f"{len(regions.target)} region maps for {len(latents)} pictures")
        height, width = latents.shape[-2:]
        sizes = (layer.size(height, width) for layer in self.layers)
        return repeat_rows(token_factors(regions, sizes), branches)

    def _run(self, rows: _Rows, call: ReferenceCall | RecordCall | None) -> Tensor:
        output = self.forward(
            rows.latents.to(self.dtype),
            rows.t,
            encoder_hidden_states=rows.tokens.to(self.dtype),
            cross_attention_kwargs={"reference": call},
            return_dict=False,
        )[0]
        return output.float()


@dataclass(frozen=True)
class _Rows:
    """Batch rows of one kind, all branches."""

    latents: Tensor
    t: Tensor
    tokens: Tensor

    @staticmethod
    def of(latents: Tensor, t: Tensor, condition: Condition, branches: int) -> _Rows:
        rows = latents.shape[0]
        sides: Sequence[Tensor] = (condition.negative, condition.positive)[-branches:]
        if condition.maps is not None:
            maps = condition.maps.expand(rows, -1, -1, -1)
            latents = torch.cat([latents, maps.to(latents.dtype)], 1)
        # One condition may serve several rows; more conditions than rows is a mistake.
        tokens = torch.cat([side.expand(rows, -1, -1) for side in sides])
        return _Rows(latents.repeat(branches, 1, 1, 1), t.repeat(branches), tokens)

    def followed_by(self, other: _Rows) -> _Rows:
        return _Rows(
            torch.cat([self.latents, other.latents]),
            torch.cat([self.t, other.t]),
            torch.cat([self.tokens, other.tokens]),
        )


def _reference_rows(targets: int, r: int, branches: int, device: torch.device) -> Tensor:
    """Which reference row each target row joins, branch by branch."""
    if r not in (1, targets):
        raise ValueError(f"{r} reference rows for {targets} targets")
    own = (
        torch.arange(targets, device=device)
        if r > 1
        else torch.zeros_like(torch.arange(targets, device=device))
    )
    return torch.cat([own + branch * r for branch in range(branches)])

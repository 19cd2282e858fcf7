"""Targets beside their photos through the compact network, as training and its sheets need them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backend.guidance.compact_network import CompactNetwork, token_places
from backend.guidance.geometry_bias import PlacedCall
from backend.training.prior_batches import PriorBatch


def beside(
    network: CompactNetwork,
    batch: PriorBatch,
    noisy: Float[Tensor, "b c h w"],
    t: Int[Tensor, "b"],
    maps: Float[Tensor, "b m h w"],
    alone: Bool[Tensor, "b"],
    *,
    seamless: bool = True,
) -> Float[Tensor, "b c h w"]:
    """One pass of clean photos (t = 0) and noisy targets; the targets' clean pictures.

    Args:
        network: on the device of ``noisy``, which the batch is brought to.
        batch: photos, and whose targets the rows are.
        noisy: targets.
        t: their timesteps.
        maps: what the network is told of each target's body.
        alone: targets that do not look at the photo.
        seamless: False leaves out the last convolutions (the first part of training).
    """
    device = noisy.device
    photo, rows = batch.photo.to(device), len(batch.photo)
    photo_maps = batch.photo_maps.to(device)
    call = PlacedCall(
        rows=batch.owner.to(device),
        leading=rows,
        targets=token_places(maps, network.layers),
        references=token_places(photo_maps, network.layers),
        alone=alone,
    )
    found: Tensor = network(
        torch.cat([photo, noisy]),
        torch.cat([torch.zeros(rows, dtype=torch.long, device=device), t]),
        torch.cat([photo_maps, maps]),
        torch.cat([batch.photo_tokens, batch.tokens]).to(device),
        call,
        seamless=seamless,
    )
    return found[rows:]

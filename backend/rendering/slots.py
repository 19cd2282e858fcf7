"""Rendering only the rays that meet the person, without making the host wait for a GPU.

How many rays hit is known on the device alone. A CPU simply looks; a GPU renders a fixed number of
slots, learned from the counts of earlier batches, which arrive on the host whenever they are ready.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Batches whose counts must be known before slots are saved, and the room above their largest one.
_TRIALS = 16
_ROOM = 1.25
_STEP = 1024

Pending = Callable[[], int | None]
"""Asks for a number on its way to the host: None while it is not there."""


@dataclass(frozen=True)
class RaySlots:
    """Which of r rays are rendered, in s slots."""

    index: Int[Tensor, "s"]
    """The ray of each slot; slots without one repeat ray 0."""
    valid: Bool[Tensor, "s"]
    rendered: Bool[Tensor, "r"]
    """Rays that have a slot."""
    left_out: Bool[Tensor, "r"]
    """Rays that hit but found no slot: losses must not see them."""

    def spread(self, values: Float[Tensor, "s *c"]) -> Float[Tensor, "r *c"]:
        """Values of slots at their rays, zero elsewhere; differentiable."""
        tail = values.shape[1:]
        used = torch.where(self.valid.view(-1, *[1] * len(tail)), values, 0.0)
        return values.new_zeros(len(self.rendered), *tail).index_add(0, self.index, used)


def choose_slots(hit: Bool[Tensor, "r"], slots: int | None) -> RaySlots:
    """Slots for the rays that hit, in order.

    Args:
        hit: which rays meet the person.
        slots: how many; None = as many as hits, which makes the host wait where ``hit`` is on a GPU.
    """
    if slots is None:
        index = torch.nonzero(hit)[:, 0]
        return RaySlots(index, torch.ones_like(index, dtype=torch.bool), hit, torch.zeros_like(hit))
    place = torch.cumsum(hit, 0) - 1
    rendered = hit & (place < slots)
    # Rays without a slot all write into one more, which is cut off.
    target = torch.where(rendered, place, torch.full_like(place, slots))
    rays = torch.arange(len(hit), device=hit.device)
    index = torch.zeros(slots + 1, dtype=torch.long, device=hit.device).scatter_(0, target, rays)
    valid = torch.arange(slots, device=hit.device) < rendered.sum()
    return RaySlots(torch.where(valid, index[:slots], 0), valid, rendered, hit & ~rendered)


def count_later(count: Int[Tensor, ""]) -> Pending:
    """A number of a CUDA device, copied to page-locked memory behind the work in progress."""
    host = torch.empty(count.shape, dtype=count.dtype, pin_memory=True)
    host.copy_(count, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return lambda: int(host) if arrived.query() else None


class SlotBudget:
    """How many slots a batch gets: all rays at first, then a quarter more than ever hit.

    Args:
        device: a CPU counts exactly; CUDA learns; any other device renders every ray.
        later: how a count travels to the host (None: by the device's kind).
    """

    def __init__(
        self, device: torch.device, later: Callable[[Tensor], Pending] | None = None
    ) -> None:
        self._exact = device.type == "cpu" and later is None
        self._later = later or (count_later if device.type == "cuda" else None)
        self._pending: list[tuple[Hashable, Pending]] = []
        self._counts: dict[Hashable, tuple[int, int]] = {}

    def slots(self, kind: Hashable, rays: int) -> int | None:
        """Slots for a batch of ``rays``; None = count exactly.

        Args:
            kind: batches of one kind are alike (resolution, number of rays).
            rays: of this batch.
        """
        if self._exact:
            return None
        waiting = []
        for owner, pending in self._pending:
            count = pending()
            if count is None:
                waiting.append((owner, pending))
                continue
            seen, most = self._counts.get(owner, (0, 0))
            self._counts[owner] = (seen + 1, max(most, count))
        self._pending = waiting
        seen, most = self._counts.get(kind, (0, 0))
        if seen < _TRIALS:
            return rays
        return min(rays, -(-int(_ROOM * most + 1) // _STEP) * _STEP)

    def saw(self, kind: Hashable, hit: Bool[Tensor, "r"]) -> None:
        """Remember how many rays of a batch hit, as soon as that is known."""
        if self._later is not None:
            self._pending.append((kind, self._later(hit.sum())))

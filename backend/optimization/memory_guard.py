"""Out of memory on a GPU lowers the tier and goes on, instead of ending the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from backend.errors import HumanRefError
from backend.events import OnEvent, Warned
from backend.optimization.memory_tiers import MemoryTier, TierChoice, lower_tier

T = TypeVar("T")


class MemoryGuard:
    """Holds the tier of a run, and lowers it when the GPU is full.

    Args:
        choice: made before the start; None on a CPU, where nothing is caught.
        use: makes the run spend no more than a tier allows; called for each tier that is taken later.
        on_event: told of every change.
    """

    def __init__(
        self, choice: TierChoice | None, use: Callable[[MemoryTier], None], on_event: OnEvent
    ) -> None:
        self._tier = choice.tier if choice else None
        self._use, self._on_event = use, on_event
        self._told = str(choice) if choice else ""

    @property
    def tier(self) -> MemoryTier | None:
        """The present tier; None on a CPU."""
        return self._tier

    @property
    def ray_chunk(self) -> int | None:
        """Rays to render at once; None = all."""
        return self._tier.ray_chunk if self._tier else None

    @property
    def description(self) -> str:
        """For run.json: the tier that was chosen, and each that it had to be lowered to."""
        return self._told

    def attempt(self, work: Callable[[], T], take_back: Callable[[], bool]) -> T:
        """The result of ``work``, tried again in a lower tier whenever the GPU has no room for it.

        Args:
            work: one step.
            take_back: undoes what a broken-off step did; False when that is not possible.

        Raises:
            HumanRefError: ``gpu_out_of_memory`` when no lower tier is left, or nothing can be undone.
        """
        lower: MemoryTier | None = None
        while True:
            try:
                if lower is not None:
                    self._lower_to(lower)
                return work()
            except torch.cuda.OutOfMemoryError as error:
                if self._tier is None:
                    raise
                lower = lower_tier(self._tier) if take_back() else None
                if lower is None:
                    raise self._no_room() from error
            # Out of the handler, whose traceback held on to the tensors of the broken-off step.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _lower_to(self, lower: MemoryTier) -> None:
        assert self._tier is not None
        before, self._tier = self._tier.name, lower
        self._use(lower)
        self._told += f"; lowered to the {lower.name} tier"
        self._on_event(
            Warned(
                "memory_tier_lowered",
                f"The GPU ran out of memory in the {before} tier: the run goes on in the "
                f"{lower.name} tier, more slowly.",
            )
        )

    def _no_room(self) -> HumanRefError:
        assert self._tier is not None
        return HumanRefError(
            "gpu_out_of_memory",
            f"The GPU ran out of memory in the {self._tier.name} tier, and there is no smaller one.",
            "Close other programs that use the GPU and run again with --resume.",
            retryable=True,
        )

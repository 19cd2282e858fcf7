"""The compact prior stays loaded between the jobs of a worker process."""

from __future__ import annotations

from pathlib import Path

import torch

from backend.events import OnEvent, ignore_events
from backend.guidance.prior import DiffusionPrior
from backend.guidance.prior_choice import load_prior, uses_compact_prior
from backend.settings import PriorSettings


class KeptPrior:
    """Loads priors as :func:`backend.guidance.prior_choice.load_prior` does, the compact one once.

    It is small and no run changes it. Stable Diffusion is loaded for every job: its gigabytes are not
    held while nobody asks, and a run may move its parts about.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Path | None, torch.device], DiffusionPrior] = {}

    def load(
        self, settings: PriorSettings, device: torch.device, on_event: OnEvent = ignore_events
    ) -> DiffusionPrior:
        """The prior that the settings name.

        Raises:
            HumanRefError: see :func:`backend.guidance.prior_choice.load_prior`.
        """
        key = (settings.folder, device)
        if not uses_compact_prior(settings):
            return load_prior(settings, device, on_event)
        if key not in self._kept:
            self._kept[key] = load_prior(settings, device, on_event)
        return self._kept[key]

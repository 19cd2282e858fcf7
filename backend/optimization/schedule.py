"""What changes over a run: resolution and learning rates."""

from __future__ import annotations

from dataclasses import dataclass

from backend.settings import OptimizationSettings


@dataclass(frozen=True)
class Schedule:
    """Coarse-to-fine resolution (3.3) and a learning rate that decays towards the end."""

    settings: OptimizationSettings

    def resolution(self, step: int) -> int:
        """Side of the picture the losses see at ``step``."""
        levels = self.settings.resolutions
        until = max(1, int(self.settings.steps * self.settings.resolution_until))
        return levels[min(len(levels) - 1, step * (len(levels) - 1) // until)]

    def learning_rate_factor(self, step: int) -> float:
        """Constant first, then an exponential fall to ``final_learning_rate``."""
        progress = step / max(1, self.settings.steps)
        start = self.settings.decay_from
        late = max(0.0, (progress - start) / max(1e-6, 1.0 - start))
        return float(self.settings.final_learning_rate**late)

"""Which view is distilled at each step (3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator


@dataclass(frozen=True)
class ViewSchedule:
    """Views of a run of ``steps`` steps.

    Before ``start`` none; then the back in ``back_share`` of the steps and else a uniform azimuth of
    [-180, 180] with a uniform elevation of [-elevation, elevation]; from ``refine_from`` on the views of
    the bank, all of them in any order before one comes again. The front belongs to the photo: views
    within ``front_free`` degrees of it are left out.
    """

    steps: int
    start: float
    refine_from: float
    back_share: float
    elevation: float
    bank: int
    front_free: float = 10.0
    every: int = 1
    """Distil in one of so many steps."""
    seed: int = 0
    """Of the order of the bank's views, which hangs on nothing else: a resumed run goes on with it."""

    def progress(self, step: int) -> float:
        """Share of the distilling part of the run that lies behind ``step``, 0..1."""
        first = self.first
        return max(0.0, (step - first) / max(1, self.steps - 1 - first))

    @property
    def first(self) -> int:
        """The first step that distils."""
        return round(self.start * self.steps)

    def refines(self, step: int) -> bool:
        """Whether the view bank is in use at ``step``."""
        return self.bank > 0 and step >= round(self.refine_from * self.steps)

    def draw(self, step: int, generator: Generator) -> tuple[float, float, int | None] | None:
        """Azimuth and elevation (degrees) and, of the bank's views, the index; None before the start."""
        if step < self.first or (step - self.first) % self.every:
            return None
        if self.refines(step):
            index = self._next(step)
            return (*self.bank_view(index), index)
        chance, around, tilt = torch.rand(3, generator=generator).tolist()
        if chance < self.back_share:
            return 180.0, 0.0, None
        free = 360.0 - 2.0 * self.front_free
        return self.front_free + around * free, (2.0 * tilt - 1.0) * self.elevation, None

    def _next(self, step: int) -> int:
        """The bank's view at a step that refines: rounds in which each comes once."""
        waited = max(0, round(self.refine_from * self.steps) - self.first)
        visit = (step - self.first) // self.every - -(-waited // self.every)
        turn, place = divmod(visit, self.bank)
        order = Generator().manual_seed(self.seed * 1_000_003 + turn)
        return int(torch.randperm(self.bank, generator=order)[place])

    def level_view(self, azimuth: float, within: float = 0.0) -> int | None:
        """The bank's level view nearest to an azimuth, at most ``within`` degrees from it; None where there
        is none."""
        found = [
            (abs((angle - azimuth + 180.0) % 360.0 - 180.0), index)
            for index in range(self.bank)
            for angle, elevation in [self.bank_view(index)]
            if elevation == 0.0
        ]
        away, index = min(found, default=(360.0, 0))
        return index if away <= within + 1e-6 else None

    def bank_view(self, index: int) -> tuple[float, float]:
        """Evenly around the person, in turn level, from above and from below by half the range; the
        middle one, from behind, is level."""
        azimuth = 360.0 * (index + 0.5) / self.bank
        return azimuth, (0.0, 0.5, -0.5)[(index - self.bank // 2) % 3] * self.elevation

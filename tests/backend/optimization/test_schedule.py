"""Coarse to fine, as in 3.3."""

import itertools

from backend.optimization.schedule import Schedule
from backend.settings import OptimizationSettings


def test_resolution_climbs_from_64_to_512_and_stays() -> None:
    settings = OptimizationSettings(steps=1000, resolution_until=0.3)
    seen = [Schedule(settings).resolution(step) for step in range(1000)]
    assert [n for n, _ in itertools.groupby(seen)] == [64, 128, 256, 512]
    assert seen.index(512) == 300


def test_learning_rate_is_constant_then_falls_to_its_final_share() -> None:
    settings = OptimizationSettings(steps=1000, decay_from=0.5, final_learning_rate=0.1)
    plan = Schedule(settings)
    assert plan.learning_rate_factor(0) == plan.learning_rate_factor(499) == 1.0
    rates = [plan.learning_rate_factor(step) for step in range(500, 1001)]
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert abs(rates[-1] - 0.1) < 1e-9

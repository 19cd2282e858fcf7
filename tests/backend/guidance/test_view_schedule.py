"""Which views are distilled, and when."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from backend.guidance.view_schedule import ViewSchedule

PLAN = ViewSchedule(
    steps=12_000, start=0.05, refine_from=0.8, back_share=0.1, elevation=20.0, bank=24
)


def test_the_first_600_of_12000_steps_distil_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    assert PLAN.draw(599, generator) is None
    assert PLAN.draw(600, generator) is not None
    assert (PLAN.progress(600), PLAN.progress(11_999)) == (0.0, 1.0)


def test_views_are_the_back_or_anywhere_but_the_front() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [PLAN.draw(1000, generator) for _ in range(6000)]
    views = torch.tensor([(view[0], view[1]) for view in drawn if view is not None])
    back = (views[:, 0] == 180.0) & (views[:, 1] == 0.0)
    assert abs(float(back.float().mean()) - 0.1) < 0.015
    around = views[~back]
    assert float(around[:, 0].min()) >= 10.0
    assert float(around[:, 0].max()) <= 350.0
    assert float(around[:, 1].abs().max()) <= 20.0
    quarters = torch.histc(around[:, 0], 4, 0, 360) / len(around)
    assert float((quarters - 0.25).abs().max()) < 0.025
    halves = torch.histc(around[:, 1], 4, -20, 20) / len(around)
    assert float((halves - 0.25).abs().max()) < 0.025


def test_from_four_fifths_on_the_bank_is_visited_evenly() -> None:
    generator = torch.Generator().manual_seed(0)
    assert not PLAN.refines(9599)
    assert PLAN.refines(9600)
    drawn = [PLAN.draw(step, generator) for step in range(9600, 12_000)]
    indices = [view[2] for view in drawn if view is not None]
    rounds = [indices[k : k + 24] for k in range(0, 2400, 24)]
    assert all(set(each) == set(range(24)) for each in rounds)
    assert len({tuple(each) for each in rounds}) > 90, "each round has an order of its own"
    for azimuth, elevation, index in (view for view in drawn[:50] if view is not None):
        assert index is not None
        assert (azimuth, elevation) == PLAN.bank_view(index)
    azimuths = [PLAN.bank_view(index)[0] for index in range(24)]
    assert {round(b - a, 6) for a, b in pairwise(azimuths)} == {15.0}


@pytest.mark.parametrize(("bank", "expected"), [(11, 5), (3, 1), (24, None), (0, None)])
def test_a_ring_of_odd_number_shows_the_back_level(bank: int, expected: int | None) -> None:
    plan = replace(PLAN, bank=bank)
    assert plan.level_view(180.0) == expected
    if expected is not None:
        assert plan.bank_view(expected) == (pytest.approx(180.0), 0.0)


def test_the_nearest_level_view_is_found_around_the_ring() -> None:
    plan = replace(PLAN, bank=11)
    beside = plan.level_view(90.0, within=15.0)
    assert beside is not None
    azimuth, elevation = plan.bank_view(beside)
    assert abs(azimuth - 90.0) < 15.0
    assert elevation == 0.0
    assert plan.level_view(90.0) is None
    other = plan.level_view(-90.0, within=15.0)
    assert other is not None
    assert plan.bank_view(other)[0] == pytest.approx(360.0 - azimuth)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_short_run_sees_every_view_of_the_bank(every: int) -> None:
    """Drawn at chance, one run in a hundred would have no picture from behind."""
    plan = ViewSchedule(
        40 * every,
        start=0.35,
        refine_from=0.5,
        back_share=0.0,
        elevation=10.0,
        bank=11,
        every=every,
        seed=3,
    )
    generator = torch.Generator().manual_seed(0)
    views = [plan.draw(step, generator) for step in range(plan.steps)]
    drawn = [view[2] for view in views if view is not None and view[2] is not None]
    assert set(drawn[:11]) == set(range(11))
    # A resumed run, whose generator is another, goes on in the same order.
    again = [plan.draw(step, torch.Generator().manual_seed(9)) for step in range(plan.steps)]
    assert drawn == [view[2] for view in again if view is not None and view[2] is not None]

"""Slots for rays: nothing lost, nothing invented, and a budget that learns from late counts."""

import pytest
import torch

from backend.rendering.slots import SlotBudget, choose_slots

HIT = torch.rand(50, generator=torch.Generator().manual_seed(0)) < 0.4
RAYS = torch.nonzero(HIT)[:, 0]


@pytest.mark.parametrize("slots", [None, len(RAYS), 30, 50, 7, 0])
def test_slots_hold_the_rays_that_hit_in_order(slots: int | None) -> None:
    chosen = choose_slots(HIT, slots)
    kept = RAYS if slots is None else RAYS[:slots]
    assert torch.equal(chosen.index[chosen.valid], kept)
    assert torch.equal(torch.nonzero(chosen.rendered)[:, 0], kept)
    assert torch.equal(torch.nonzero(chosen.left_out)[:, 0], RAYS[len(kept) :])
    values = torch.rand(len(chosen.index), 3)
    spread = chosen.spread(values)
    torch.testing.assert_close(spread[kept], values[: len(kept)])
    assert float(spread.abs().sum()) == pytest.approx(float(values[: len(kept)].sum()))


def test_empty_slots_may_hold_anything_even_no_number() -> None:
    chosen = choose_slots(HIT, 50)
    values = torch.full((50,), torch.nan)
    values[: len(RAYS)] = 1.0
    values.requires_grad_()
    total = chosen.spread(values).sum()
    total.backward()
    assert float(total.detach()) == len(RAYS)
    assert torch.equal(values.grad, (torch.arange(50) < len(RAYS)).float())


def test_a_cpu_counts_and_other_devices_render_everything() -> None:
    assert SlotBudget(torch.device("cpu")).slots("a", 100) is None
    other = SlotBudget(torch.device("meta"))
    other.saw("a", HIT)
    assert other.slots("a", 100) == 100


def test_the_budget_learns_from_counts_that_arrive_late() -> None:
    arrived: list[int] = []
    asked: list[int] = []

    def later(count: torch.Tensor):
        number = len(asked)
        asked.append(int(count))
        return lambda: asked[number] if number < len(arrived) else None

    budget = SlotBudget(torch.device("cpu"), later)
    many = torch.ones(4000, dtype=torch.bool)
    for _ in range(30):
        budget.saw("front", many)
    # Nothing has arrived, so nothing is left out.
    assert budget.slots("front", 20_000) == 20_000
    arrived.extend([0] * 15)
    assert budget.slots("front", 20_000) == 20_000
    arrived.append(0)
    # 1.25 times the most, in whole steps of 1024.
    assert budget.slots("front", 20_000) == 5120
    assert budget.slots("front", 4096) == 4096
    assert budget.slots("side", 20_000) == 20_000
    budget.saw("front", torch.ones(9000, dtype=torch.bool))
    arrived.extend([0] * 20)
    assert budget.slots("front", 20_000) == 12_288 - 1024

"""Steps that are not finite are skipped, many in a row end the run; a good run is not touched."""

from pathlib import Path

import pytest
import torch
from test_loop import _optimizer, _settings

from backend.errors import HumanRefError
from backend.events import Event, Step, Warned
from backend.optimization.adam import Adam
from backend.optimization.finite_guard import PATIENCE, FiniteGuard

NAN = float("nan")


def test_one_bad_step_is_as_if_it_had_not_been() -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(5), torch.randn(6, 5)
    ends = []
    for bad in (None, 3):
        weight = torch.nn.Parameter(start.clone())
        adam = Adam([{"params": [weight], "lr": 0.1}], (0.9, 0.99), 1e-15)
        guard = FiniteGuard(torch.device("cpu"))
        for step, gradient in enumerate(gradients):
            if step == bad:
                weight.grad = torch.full((5,), NAN)
                adam.step(*guard.judge(torch.tensor(1.0), adam.gradients()))
            weight.grad = gradient * guard.scale
            adam.step(*guard.judge(torch.tensor(1.0), adam.gradients()))
        ends.append(weight.detach().clone())
        assert guard.skipped == (bad is not None)
        assert guard.bad_in_a_row == 0
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-6, atol=1e-7)


def test_the_scale_falls_with_bad_steps_and_recovers() -> None:
    guard = FiniteGuard(torch.device("cpu"))
    good, bad = [torch.ones(3)], [torch.tensor([1.0, float("inf")])]
    fine = torch.tensor(1.0)
    for _ in range(3):
        skip, _ = guard.judge(fine, bad)
        assert float(skip) == 1.0
    assert (float(guard.scale), guard.bad_in_a_row) == (0.125, 3)
    skip, carried = guard.judge(fine, good)
    assert (float(skip), float(carried), guard.bad_in_a_row) == (0.0, 0.125, 0)
    for _ in range(1000):
        guard.judge(fine, good)
    assert float(guard.scale) == 1.0
    assert float(guard.judge(torch.tensor(NAN), good)[0]) == 1.0
    again = FiniteGuard(torch.device("cpu"))
    again.load_state_dict(guard.state_dict())
    assert (float(again.scale), again.bad_in_a_row, again.skipped) == (0.5, 1, 4)


def _poisoned(at: set[int], checkpoint: Path | None = None):
    seen: list[Event] = []
    field, loop = _optimizer(_settings(40), checkpoint, on_event=seen.append)
    whole = loop._losses

    def losses(step: int) -> dict[str, torch.Tensor]:
        terms = whole(step)
        return {**terms, "smooth": terms["smooth"] * NAN} if step in at else terms

    loop._losses = losses
    return field, loop, seen


def test_a_run_survives_bad_steps_and_says_so() -> None:
    field, loop, seen = _poisoned({3, 4, 19})
    loop.run()
    assert all(bool(torch.isfinite(value).all()) for value in field.state_dict().values())
    assert [e.code for e in seen if isinstance(e, Warned)] == ["step_skipped"]
    steps = {event.step: event for event in seen if isinstance(event, Step)}
    assert "smooth" not in steps[20].losses, "what is not a number is not told"
    assert "smooth" in steps[40].losses


def test_many_bad_steps_in_a_row_end_it() -> None:
    _, loop, _ = _poisoned(set(range(12, 12 + PATIENCE + 20)))
    with pytest.raises(HumanRefError, match="30") as error:
        loop.run()
    assert error.value.code == "fit_diverged"

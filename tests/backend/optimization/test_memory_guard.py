"""Out of memory in a run: the tier goes down, the step is made again, the result is the same."""

from pathlib import Path

import pytest
import torch
from test_loop import _field, _problem, _settings

from backend.errors import HumanRefError
from backend.events import Event, Warned
from backend.optimization.checkpoint import load_checkpoint
from backend.optimization.loop import FieldOptimizer
from backend.optimization.memory_guard import MemoryGuard
from backend.optimization.memory_tiers import GIB, TIERS, MemoryTier, choose_tier


def _loop(seen: list[Event], full: dict[int, int], checkpoint: Path | None = None):
    """A run whose GPU is full at some steps, so many times each."""
    settings = _settings(16)
    field = _field(settings)
    loop = FieldOptimizer(
        field,
        _problem(),
        settings,
        seen.append,
        lambda step: None,
        checkpoint,
        choose_tier(settings, None, 80 * GIB),
    )
    whole = loop._losses

    def sometimes_full(step: int) -> dict[str, torch.Tensor]:
        terms = whole(step)
        if full.get(step, 0) > 0:
            full[step] -= 1
            raise torch.cuda.OutOfMemoryError("no room")
        return terms

    loop._losses = sometimes_full
    return field, loop


def test_a_run_that_runs_out_of_memory_ends_with_the_same_field(tmp_path: Path) -> None:
    expected, loop = _loop([], {})
    loop.run()
    seen: list[Event] = []
    path = tmp_path / "a.checkpoint"
    field, loop = _loop(seen, {0: 1, 7: 2}, path)
    kept = []
    use = loop.memory._use

    def keep(tier: MemoryTier) -> None:
        use(tier)
        kept.append(load_checkpoint(path, "ball").step if path.exists() else None)

    loop.memory._use = keep
    summary = loop.run()
    torch.testing.assert_close(field.state_dict(), expected.state_dict(), rtol=1e-4, atol=1e-5)
    told = [event.message for event in seen if isinstance(event, Warned)]
    assert [message.split(" tier")[0].split("the ")[-1] for message in told] == [
        "40 GB",
        "24 GB",
        "16 GB",
    ]
    # What was whole is safe before the run goes on.
    assert kept == [None, 7, 7]
    assert loop.memory.tier is TIERS[3]
    assert summary.memory.startswith("40 GB tier")
    assert summary.memory.endswith("lowered to the 12 GB tier")


def test_below_the_smallest_tier_the_run_ends_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    _, loop = _loop([], {11: 99}, path)
    with pytest.raises(HumanRefError, match="8 GB tier") as error:
        loop.run()
    assert error.value.code == "gpu_out_of_memory"
    assert error.value.retryable
    assert load_checkpoint(path, "ball").step == 11


def test_a_step_that_moved_the_field_is_not_repeated() -> None:
    settings = _settings(16)
    choice = choose_tier(settings, None, 80 * GIB)
    used: list[MemoryTier] = []
    guard = MemoryGuard(choice, used.append, lambda event: None)

    def full() -> None:
        raise torch.cuda.OutOfMemoryError("no room")

    with pytest.raises(HumanRefError):
        guard.attempt(full, lambda: False)
    assert not used
    with pytest.raises(torch.cuda.OutOfMemoryError):
        MemoryGuard(None, used.append, lambda event: None).attempt(full, lambda: True)


def test_a_tier_that_does_not_fit_either_is_passed_over() -> None:
    used: list[str] = []
    seen: list[Event] = []

    def use(tier: MemoryTier) -> None:
        used.append(tier.name)
        if tier is TIERS[1]:
            raise torch.cuda.OutOfMemoryError("no room for its cache")

    guard = MemoryGuard(choose_tier(_settings(16), None, 80 * GIB), use, seen.append)

    def work() -> str:
        if len(used) < 2:
            raise torch.cuda.OutOfMemoryError("no room")
        return "done"

    assert guard.attempt(work, lambda: True) == "done"
    assert used == ["24 GB", "16 GB"]
    assert guard.tier is TIERS[2]
    assert [type(event) for event in seen] == [Warned]

"""Ctrl-C never tears a step, and is never lost."""

import signal

import pytest

from backend.cli.interrupts import GentleInterrupts
from backend.events import Event, StageFinished, StageStarted, Step, ignore_events

STARTED = StageStarted("optimization")


def step(number: int) -> Step:
    return Step("optimization", number, 30, 1.0)


@pytest.mark.parametrize(
    ("before", "at"),
    [
        pytest.param([STARTED], step(10), id="in the very first steps"),
        pytest.param([STARTED, step(10)], step(20), id="between two events"),
        pytest.param([STARTED, step(20)], step(30), id="before the last step"),
        pytest.param([STARTED], StageFinished("optimization", 1.0), id="nothing left to do"),
    ],
)
def test_the_fit_is_stopped_between_two_steps(before: list[Event], at: Event) -> None:
    with GentleInterrupts(ignore_events) as on_event:
        for event in before:
            on_event(event)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            on_event(at)
        # Said once, raised once.
        on_event(at)


@pytest.mark.parametrize(
    "before",
    [
        pytest.param([], id="before any stage"),
        pytest.param([StageStarted("meshing")], id="another stage"),
        pytest.param([STARTED, step(30)], id="after the last step"),
        pytest.param([STARTED, StageFinished("optimization", 1.0)], id="after the fit"),
    ],
)
def test_everything_else_stops_at_once(before: list[Event]) -> None:
    with GentleInterrupts(ignore_events) as on_event:
        for event in before:
            on_event(event)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_time_stops_at_once() -> None:
    with GentleInterrupts(ignore_events) as on_event:
        on_event(STARTED)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        on_event(StageFinished("optimization", 1.0))


def test_the_handler_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with GentleInterrupts(ignore_events):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before

"""Ctrl-C: stop between two steps while fitting, at once everywhere else."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from backend.events import Event, OnEvent, StageFinished, StageStarted, Step

STOPPABLE_STAGE = "optimization"


class GentleInterrupts:
    """An observer that turns Ctrl-C into KeyboardInterrupt at the optimisation's next progress event.

    Interrupting in the middle of a step would leave half an update in the checkpoint. Other stages
    have nothing to lose and stop at once; so does a second Ctrl-C.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._between_steps = False
        self._asked = False
        self._previous: signal._HANDLER = signal.SIG_DFL

    def __enter__(self) -> GentleInterrupts:
        self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def __call__(self, event: Event) -> None:
        self._on_event(event)
        if isinstance(event, StageStarted):
            self._between_steps = event.stage == STOPPABLE_STAGE
            return
        if isinstance(event, Step) and event.stage == STOPPABLE_STAGE:
            self._between_steps = event.step < event.total
        elif isinstance(event, StageFinished):
            self._between_steps = False
        else:
            return
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._between_steps or self._asked:
            self._asked = False
            raise KeyboardInterrupt
        self._asked = True

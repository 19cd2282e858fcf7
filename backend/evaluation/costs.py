"""Seconds and peak memory of each stage of a run."""

from __future__ import annotations

from pathlib import Path

from backend.events import Event, OnEvent, StageFinished, StageStarted, ignore_events
from backend.process_memory import peak_memory_mb

_CLEAR = Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"


class StageCosts:
    """An observer that adds up what each stage cost and passes every event on.

    On Linux the system's record of the largest memory is cleared as a stage begins, so each stage has a
    peak of its own; elsewhere a peak is the process's so far (``memory_is_per_stage`` says which).
    """

    def __init__(self, on_event: OnEvent = ignore_events) -> None:
        self._on_event = on_event
        self._open: list[str] = []
        self.seconds: dict[str, float] = {}
        self.peak_memory_mb: dict[str, float] = {}
        self.outer_seconds: list[float] = []
        """Of the stages that ran inside no other: their sum is the whole."""
        self.memory_is_per_stage = _clear_peak()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._note_peak()
            self._open.append(event.stage)
            if self.memory_is_per_stage:
                _clear_peak()
        elif isinstance(event, StageFinished) and event.stage in self._open:
            self._note_peak()
            inner = self._open[::-1].index(event.stage)
            del self._open[len(self._open) - 1 - inner :]
            # A stage reported from outside and from inside is one stage: the outer time counts.
            if event.stage not in self._open:
                self.seconds[event.stage] = self.seconds.get(event.stage, 0.0) + event.seconds
            if not self._open:
                self.outer_seconds.append(event.seconds)
        self._on_event(event)

    def _note_peak(self) -> None:
        """The memory since the last look belongs to every stage that is open."""
        now = peak_memory_mb()
        for stage in self._open:
            self.peak_memory_mb[stage] = max(self.peak_memory_mb.get(stage, 0.0), now)


def _clear_peak() -> bool:
    try:
        _CLEAR.write_text(_CLEAR_PEAK)
    except OSError:
        return False
    return True

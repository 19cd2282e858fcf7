"""What a job has told so far: in order, numbered, and bounded by thinning out old progress."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared_protocol.messages import JobEvent, Notice, Progress

_MOST_EVENTS = 240
_MOST_NOTICES = 100


@dataclass
class EventLog:
    """The events of one job, oldest first; ``seq`` is the newest number given out.

    Whatever is left out: the newest progress of each stage and the first hundred notices stay.
    """

    seq: int = 0
    events: list[JobEvent] = field(default_factory=list)

    def add(self, content: Progress | Notice) -> tuple[JobEvent, list[int]]:
        """Number and keep an event; also returns the numbers of those dropped for it."""
        self.seq += 1
        if isinstance(content, Progress):
            event = JobEvent(seq=self.seq, progress=content)
        else:
            event = JobEvent(seq=self.seq, notice=content)
        self.events.append(event)
        return event, self._thin()

    def since(self, seq: int) -> tuple[JobEvent, ...]:
        """Events after ``seq``."""
        return tuple(event for event in self.events if event.seq > seq)

    @property
    def progress(self) -> Progress | None:
        """The newest progress."""
        return next((e.progress for e in reversed(self.events) if e.progress is not None), None)

    def _thin(self) -> list[int]:
        if len(self.events) <= _MOST_EVENTS:
            return []
        last = {e.progress.stage: e.seq for e in self.events if e.progress is not None}
        kept: list[JobEvent] = []
        dropped: list[JobEvent] = []
        notices, odd = 0, False
        for event in self.events:
            if event.progress is not None:
                # Every other one, again and again: the older, the fewer.
                odd = not odd
                stays = last[event.progress.stage] == event.seq or odd
            else:
                notices += 1
                stays = notices <= _MOST_NOTICES
            (kept if stays else dropped).append(event)
        # Stages come and go under many names only when something is wrong; the bound holds even then.
        excess = max(0, len(kept) - 2 * _MOST_EVENTS)
        dropped += kept[:excess]
        self.events = kept[excess:]
        return [event.seq for event in dropped]

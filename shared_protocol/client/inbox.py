"""What waits for the owner: the newest of everything that can be overtaken, and all that cannot."""

from __future__ import annotations

from collections import OrderedDict
from threading import Condition

from .events import (
    ClientEvent,
    Connected,
    Disconnected,
    JobNoticed,
    JobsForgotten,
    RequestRefused,
    Transfer,
)

_SMALL = 512


class Inbox:
    """A bounded queue between the client's thread and its owner's.

    A job keeps one event of each kind (the newest, at the newest place in the order), so progress and
    previews never pile up and a result is never lost. Notices and refusals keep their ``_SMALL`` newest.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._events: OrderedDict[tuple[object, ...], ClientEvent] = OrderedDict()
        self._kept: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._serial = 0

    def put(self, event: ClientEvent) -> None:
        """Add an event; called on the client's thread."""
        with self._changed:
            key = self._key(event)
            self._events.pop(key, None)
            self._events[key] = event
            if isinstance(event, JobNoticed | RequestRefused | JobsForgotten):
                self._kept[key] = None
                if len(self._kept) > _SMALL:
                    oldest, _ = self._kept.popitem(last=False)
                    self._events.pop(oldest, None)
            self._changed.notify_all()

    def take(self, most: int | None = None) -> list[ClientEvent]:
        """Up to ``most`` events in order; never waits."""
        with self._changed:
            number = len(self._events) if most is None else min(most, len(self._events))
            taken = []
            for _ in range(number):
                key, event = self._events.popitem(last=False)
                self._kept.pop(key, None)
                taken.append(event)
            return taken

    def wait(self, timeout: float | None) -> bool:
        """Wait until there is an event; False when ``timeout`` seconds brought none."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._events), timeout)

    def _key(self, event: ClientEvent) -> tuple[object, ...]:
        if isinstance(event, Connected | Disconnected):
            return ("line",)
        if isinstance(event, JobNoticed | RequestRefused | JobsForgotten):
            self._serial += 1
            return ("kept", self._serial)
        if isinstance(event, Transfer):
            return (Transfer, event.job_id, event.direction)
        return (type(event), getattr(event, "job_id", ""))

"""A client's owner in tests, and short waits."""

from __future__ import annotations

import time
from typing import Any

from attrs import define

from shared_protocol.client.client import BackendClient
from shared_protocol.client.events import ClientEvent
from shared_protocol.client.timing import Timing

FAST = Timing(
    ping_every=0.1,
    silent_after=0.6,
    resend_after=0.15,
    resend_longest=0.5,
    resend_times=40,
    ask_job_every=0.3,
    retry_first=0.05,
    retry_longest=0.2,
)


@define
class Owner:
    """Drives a client as Blender does: polls, and remembers what came."""

    client: BackendClient
    events: list[ClientEvent]

    def until(self, kind: type, seconds: float = 20.0, **wanted: Any) -> Any:
        """The first event of ``kind`` with these fields, from the beginning on; waits for it."""
        end = time.monotonic() + seconds
        seen = 0
        while True:
            for event in self.events[seen:]:
                if isinstance(event, kind) and all(
                    getattr(event, name) == value for name, value in wanted.items()
                ):
                    return event
            seen = len(self.events)
            left = end - time.monotonic()
            assert left > 0, f"no {kind.__name__}; {[type(e).__name__ for e in self.events[-8:]]}"
            self.client.wait(min(left, 0.5))
            self.events += self.client.poll()

    def of(self, kind: type) -> list[Any]:
        """Every event of ``kind`` so far."""
        self.events += self.client.poll()
        return [event for event in self.events if isinstance(event, kind)]

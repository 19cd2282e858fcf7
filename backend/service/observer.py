"""What a running pipeline says, as messages to the server; also where a stop is noticed."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable

import numpy as np

from backend.errors import Cancelled
from backend.events import Event, Preview, StageStarted, Step, Warned
from backend.service.documents import color_bytes
from backend.service.words import plain
from backend.service.worker import IsStopped, Send
from backend.service.worker_messages import Previewed, PreviewMesh, Told
from shared_protocol.messages import Notice, Progress

_EVERY = 0.4
"""Seconds between two steps that are told; the first and last of a stage always are."""


class JobObserver:
    """The ``on_event`` of one job.

    Raises Cancelled from whichever event comes after the stop, which is where a pipeline may be left.
    """

    def __init__(
        self,
        uid: str,
        send: Send,
        is_stopped: IsStopped,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uid, self._send, self._is_stopped, self._clock = uid, send, is_stopped, clock
        self._told = -math.inf
        self._stage = ""

    def __call__(self, event: Event) -> None:
        if self._is_stopped():
            raise Cancelled()
        if isinstance(event, StageStarted):
            self._stage = event.stage
            self._tell(Progress(stage=event.stage, provider=plain(event.provider)))
        elif isinstance(event, Step):
            now = self._clock()
            news = event.stage != self._stage or event.step in (1, event.total)
            if news or now - self._told >= _EVERY:
                self._stage, self._told = event.stage, now
                self._tell(_progress(event))
        elif isinstance(event, Warned):
            self._tell(Notice(code=event.code, message=plain(event.message)))
        elif isinstance(event, Preview):
            self._send(Previewed(self._uid, preview_mesh(event)))

    def notice(self, code: str, message: str) -> None:
        """Say something of the service's own."""
        self._tell(Notice(code=code, message=message))

    def _tell(self, content: Progress | Notice) -> None:
        self._send(Told(self._uid, content))


def preview_mesh(event: Preview) -> PreviewMesh:
    """A preview in the types of the wire; equal faces have an equal topology id."""
    faces = np.ascontiguousarray(event.faces, np.int32)
    return PreviewMesh(
        step=event.step,
        topology=hashlib.blake2b(faces.data, digest_size=8).hexdigest(),
        vertices=np.ascontiguousarray(event.vertices, np.float32),
        colors=color_bytes(event.colors),
        faces=faces,
    )


def _progress(event: Step) -> Progress:
    """Numbers that are not finite cannot travel."""
    known = event.eta is not None and math.isfinite(event.eta)
    return Progress(
        stage=event.stage,
        step=event.step,
        total=event.total,
        eta=max(0.0, float(event.eta)) if known else None,
        losses={k: float(v) for k, v in event.losses.items() if math.isfinite(v)},
    )

"""Files on their way to the backend: asked how much is there, then in pieces from there on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..codec import Envelope
from ..errors import INTERNAL, Error
from ..messages import BlobRef, ChunkStored, PutChunk
from .requests import Requests

CHUNK = 1 << 20
WINDOW = 2
"""Pieces on their way at once: keeps a line busy, and is less than what a backend lets queue up."""
_MOST_REWINDS = 1000


class Upload:
    """One blob going up.

    Args:
        on_progress: bytes that are there.
        on_end: None when the blob is whole at the backend, else why not.
    """

    def __init__(
        self,
        requests: Requests,
        ref: BlobRef,
        data: bytes,
        *,
        on_progress: Callable[[int], None],
        on_end: Callable[[Error | None], None],
    ) -> None:
        self._requests = requests
        self._ref = ref
        self._data = np.frombuffer(data, np.uint8)
        self._on_progress = on_progress
        self._on_end = on_end
        self._next = 0
        self._stored = 0
        self._flying: dict[int, str] = {}
        self._rewinds = 0
        self._over = False
        requests.ask("data", PutChunk(blob=ref, offset=0), self._begin, self._failed)

    def abandon(self) -> None:
        """Nobody wants it any more; what is there stays for the next time."""
        self._over = True
        for msg_id in self._flying.values():
            self._requests.forget(msg_id)

    def _begin(self, reply: Envelope) -> None:
        if not self._over and isinstance(stored := reply.content, ChunkStored):
            self._next = stored.offset
            self._arrived(stored.offset)

    def _arrived(self, offset: int) -> None:
        self._stored = max(self._stored, offset)
        self._on_progress(self._stored)
        if offset >= self._ref.size:
            self.abandon()
            self._on_end(None)
            return
        while len(self._flying) < WINDOW and self._next < self._ref.size:
            start = self._next
            chunk = min(CHUNK, self._requests.limits.chunk_bytes)
            piece = self._data[start : start + chunk]
            self._next = start + len(piece)
            if start not in self._flying:
                self._send(start, piece)

    def _send(self, start: int, piece: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        end = start + len(piece)

        def stored(reply: Envelope) -> None:
            self._flying.pop(start, None)
            if self._over or not isinstance(reply.content, ChunkStored):
                return
            offset = reply.content.offset
            if offset < end:
                # A piece before this one is missing there: go back to it.
                self._rewinds += 1
                if self._rewinds > _MOST_REWINDS:
                    self._failed(_STUBBORN)
                    return
                self._next = min(self._next, offset)
            self._arrived(offset)

        self._flying[start] = self._requests.ask(
            "data",
            PutChunk(blob=self._ref, offset=start),
            stored,
            self._failed,
            buffers={"data": piece},
        )

    def _failed(self, error: Error) -> None:
        if not self._over:
            self.abandon()
            self._on_end(error)


_STUBBORN = Error(
    code=INTERNAL,
    message="The backend does not keep the file we send.",
    hint="Look into its log, and restart it.",
    retryable=True,
)

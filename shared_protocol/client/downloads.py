"""Blobs on their way from the backend into the cache, piece by piece, from where the last try ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..codec import Envelope
from ..errors import BLOB_DIGEST, Error, ProtocolError
from ..messages import BlobRef, Chunk, FetchChunk
from .cache import BlobCache, PartialBlob
from .requests import Requests
from .uploads import CHUNK, WINDOW

OnEnd = Callable[[Path | None, Error | None], None]
OnProgress = Callable[[int], None]


class Downloads:
    """Fetches blobs one after the other; one that several want is fetched once.

    One after the other, because a backend lets few messages to a client queue up and drops the rest.
    """

    def __init__(self, requests: Requests, cache: BlobCache) -> None:
        self._requests = requests
        self._cache = cache
        self._downloads: dict[str, Download] = {}

    def fetch(self, ref: BlobRef, on_progress: OnProgress, on_end: OnEnd) -> None:
        """Get ``ref`` into the cache.

        Args:
            on_progress: bytes that are here.
            on_end: the whole and checked file, or why there is none.
        """
        path = self._cache.find(ref)
        if path is not None:
            on_progress(ref.size)
            on_end(path, None)
            return
        known = self._downloads.get(ref.sha256)
        if known is not None:
            known.waiting.append((on_progress, on_end))
            return
        try:
            download = Download(self._requests, ref, self._cache.begin(ref), self._ended)
        except ProtocolError as error:
            on_end(None, error.as_error())
            return
        download.waiting.append((on_progress, on_end))
        self._downloads[ref.sha256] = download
        if len(self._downloads) == 1:
            download.begin()

    def close(self) -> None:
        """Let go of every file; beginnings stay for the next time."""
        for download in self._downloads.values():
            download.close()
        self._downloads.clear()

    def clear_cache(self) -> None:
        """Remove what was fetched; see :meth:`BlobCache.clear`."""
        self._cache.clear()

    def _ended(self, download: Download, path: Path | None, error: Error | None) -> None:
        del self._downloads[download.ref.sha256]
        self._cache.prune()
        following = next(iter(self._downloads.values()), None)
        for _, on_end in download.waiting:
            on_end(path, error)
        if following is not None:
            following.begin()


class Download:
    """One blob coming down."""

    def __init__(
        self,
        requests: Requests,
        ref: BlobRef,
        partial: PartialBlob,
        on_end: Callable[[Download, Path | None, Error | None], None],
    ) -> None:
        self.ref = ref
        self.waiting: list[tuple[OnProgress, OnEnd]] = []
        self._requests = requests
        self._partial = partial
        self._on_end = on_end
        self._next = 0
        self._flying: dict[int, str] = {}
        self._early: dict[int, bytes] = {}
        self._damaged = False

    def begin(self) -> None:
        """Ask for the first pieces."""
        self._next = self._partial.offset
        self._go_on()

    def close(self) -> None:
        """Let go of the file and of every piece that is still to come."""
        self._partial.close()
        for msg_id in self._flying.values():
            self._requests.forget(msg_id)
        self._flying.clear()

    def _go_on(self) -> None:
        for on_progress, _ in self.waiting:
            on_progress(self._partial.offset)
        if self._partial.offset >= self.ref.size:
            self._finish()
            return
        # What waits for an earlier piece counts as well: memory stays that of a window.
        while len(self._flying) + len(self._early) < WINDOW and self._next < self.ref.size:
            start = self._next
            length = min(CHUNK, self._requests.limits.chunk_bytes, self.ref.size - start)
            self._next = start + length
            self._flying[start] = self._ask(start, length)

    def _ask(self, start: int, length: int) -> str:
        def arrived(reply: Envelope) -> None:
            if self._flying.pop(start, None) is not None:
                self._keep(start, length, reply)

        return self._requests.ask(
            "data",
            FetchChunk(blob=self.ref, offset=start, length=length),
            arrived,
            self._failed,
        )

    def _keep(self, start: int, length: int, reply: Envelope) -> None:
        data = reply.buffers.get("data")
        if not isinstance(reply.content, Chunk) or data is None or len(data) == 0:
            self._failed(_NO_PIECE)
            return
        if reply.content.offset != start or len(data) > length:
            self._failed(_NO_PIECE)
            return
        if len(data) < length:
            # A backend with smaller pieces: the rest is asked for by itself.
            rest = start + len(data)
            self._flying[rest] = self._ask(rest, length - len(data))
        self._early[start] = data.tobytes()
        try:
            while (piece := self._early.pop(self._partial.offset, None)) is not None:
                self._partial.write(piece)
        except ProtocolError as error:
            self._failed(error.as_error())
            return
        self._go_on()

    def _finish(self) -> None:
        try:
            path = self._partial.finish()
        except ProtocolError as error:
            if error.code != BLOB_DIGEST or self._damaged:
                self._failed(error.as_error())
                return
            # A beginning from an earlier run may have been damaged on disk: once more, from nothing.
            self._damaged = True
            self.begin()
            return
        self._on_end(self, path, None)

    def _failed(self, error: Error) -> None:
        self.close()
        self._on_end(self, None, error)


_NO_PIECE = Error(
    code=BLOB_DIGEST,
    message="The backend sent something else than the piece of a file that was asked for.",
    hint="Fetch the result again.",
    retryable=True,
)

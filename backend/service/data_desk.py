"""Requests on the data line: pieces of blobs up and down, and credit for previews."""

from __future__ import annotations

import numpy as np

from backend.service.archive import Archive
from backend.service.dispatcher import Dispatcher
from backend.service.folders import job_uid
from backend.service.lanes import Failure, Lane
from backend.service.post import Asked, Post, Viewers
from shared_protocol.messages import Chunk, ChunkStored, FetchChunk, GrantPreview, PutChunk

_BACKLOG = 8


class DataDesk:
    """Answers on the data line; lives on the loop's thread."""

    def __init__(
        self, dispatcher: Dispatcher, archive: Archive, lane: Lane, post: Post, viewers: Viewers
    ) -> None:
        self._dispatcher, self._archive, self._disk = dispatcher, archive, lane
        self._post, self._viewers = post, viewers

    @property
    def is_busy(self) -> bool:
        """Whether the disk has enough to do: what waits on the wire is then left there."""
        return self._disk.backlog >= _BACKLOG

    def take(self, asked: Asked) -> bool:
        """Deal with a message of the data line; False for any other."""
        content = asked.envelope.content
        if isinstance(content, PutChunk):
            self._put(asked, content)
        elif isinstance(content, FetchChunk):
            self._fetch(asked, content)
        elif isinstance(content, GrantPreview):
            self._grant(asked, content)
        else:
            return False
        return True

    def _put(self, asked: Asked, content: PutChunk) -> None:
        owner, blob, offset = asked.session.owner, content.blob, content.offset
        array = asked.envelope.buffers.get("data")
        data = memoryview(b"") if array is None or not array.size else array.data

        def stored(outcome: int | Failure) -> None:
            if isinstance(outcome, Failure):
                self._post.refuse_asked(asked, outcome.error)
            else:
                self._post.answer(asked, ChunkStored(blob=blob, offset=outcome))

        self._disk.do(lambda: self._archive.put(owner, blob, offset, data), stored)

    def _fetch(self, asked: Asked, content: FetchChunk) -> None:
        owner, blob, offset = asked.session.owner, content.blob, content.offset

        def read(outcome: bytes | Failure) -> None:
            if isinstance(outcome, Failure):
                self._post.refuse_asked(asked, outcome.error)
            else:
                data = {"data": np.frombuffer(outcome, np.uint8)}
                self._post.answer(asked, Chunk(blob=blob, offset=offset), data)

        length = content.length
        self._disk.do(lambda: self._archive.get(owner, blob, offset, length), read)

    def _grant(self, asked: Asked, content: GrantPreview) -> None:
        """Credit for a job that is over or unknown is spent on nothing."""
        uid = job_uid(asked.session.owner, asked.job_id)
        job = self._dispatcher.jobs.get(uid)
        if job is not None and not job.is_over:
            self._viewers.grant(asked.session, job, content.topology)

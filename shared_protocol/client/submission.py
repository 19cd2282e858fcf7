"""A new job on its way: its files go up, then its request, until the backend has accepted it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from ..codec import Envelope
from ..errors import BLOB_MISSING, Error, ProtocolError
from ..messages import Accepted, BlobRef, JobStatus
from .events import JobAccepted, JobCancelled, JobEnded, JobFailed, Transfer
from .inbox import Inbox
from .job_request import JobRequest, read_source
from .requests import Requests
from .uploads import Upload

_TRIES = 3
"""A backend may lose a file between its upload and the request (its time was up): then once more."""


class Submission:
    """Brings one job to the backend.

    Args:
        on_accepted: the backend has it; the second argument says that the owner wants it cancelled.
        on_refused: it will never have it; the owner has been told.
    """

    def __init__(
        self,
        job: JobRequest,
        requests: Requests,
        inbox: Inbox,
        *,
        on_accepted: Callable[[JobRequest, bool], None],
        on_refused: Callable[[JobRequest], None],
    ) -> None:
        self._job = job
        self._requests = requests
        self._inbox = inbox
        self._on_accepted = on_accepted
        self._on_refused = on_refused
        self._uploads: dict[str, Upload] = {}
        self._refs: dict[str, BlobRef] = {}
        self._done: dict[str, int] = {}
        self._tries = 0
        self._request_id = ""
        self._cancelled = False
        self._over = False

    def begin(self) -> None:
        """Read the files and send them."""
        self._tries += 1
        files: dict[BlobRef, bytes] = {}
        try:
            for role, source in self._job.sources().items():
                ref, data = read_source(source, self._requests.limits.blob_bytes)
                self._refs[role] = ref
                files[ref] = data
        except ProtocolError as error:
            self._refused(error.as_error())
            return
        self._done = {ref.sha256: 0 for ref in files}
        total = sum(ref.size for ref in files)
        waiting = set(self._done)

        def progressed(ref: BlobRef, size: int) -> None:
            self._done[ref.sha256] = size
            done = sum(self._done.values())
            self._inbox.put(
                Transfer(job_id=self._job.job_id, direction="up", done=done, total=total)
            )

        def ended(ref: BlobRef, error: Error | None) -> None:
            if self._over:
                return
            if error is not None:
                self._refused(error)
                return
            waiting.discard(ref.sha256)
            if not waiting:
                self._ask()

        for ref, data in files.items():
            self._uploads[ref.sha256] = Upload(
                self._requests,
                ref,
                data,
                on_progress=partial(progressed, ref),
                on_end=partial(ended, ref),
            )

    def cancel(self) -> None:
        """The owner changed their mind; a request that may have arrived is cancelled over there."""
        if self._request_id:
            self._cancelled = True
            return
        self._stop()
        job = self._job
        self._inbox.put(JobCancelled(job_id=job.job_id, outcome="pending"))
        status = JobStatus(
            kind=job.kind, state="cancelled", photo_name=job.name, created=time.time(), seq=0
        )
        self._inbox.put(JobEnded(job_id=job.job_id, status=status))
        self._on_refused(job)

    def drop(self) -> None:
        """Stop without a word."""
        self._stop()
        self._requests.forget(self._request_id)

    def _ask(self) -> None:
        self._uploads.clear()
        self._request_id = self._requests.ask(
            "control",
            self._job.content(self._refs),
            self._accepted,
            self._not_accepted,
            job_id=self._job.job_id,
        )

    def _accepted(self, reply: Envelope) -> None:
        if self._over or not isinstance(reply.content, Accepted):
            return
        self._over = True
        self._inbox.put(JobAccepted(job_id=self._job.job_id, accepted=reply.content))
        self._on_accepted(self._job, self._cancelled)

    def _not_accepted(self, error: Error) -> None:
        self._request_id = ""
        if self._over:
            return
        if self._cancelled:
            self.cancel()
        elif error.code == BLOB_MISSING and self._tries < _TRIES:
            self.begin()
        else:
            self._refused(error)

    def _refused(self, error: Error) -> None:
        if self._over:
            return
        self._stop()
        self._inbox.put(JobFailed(job_id=self._job.job_id, error=error))
        self._on_refused(self._job)

    def _stop(self) -> None:
        self._over = True
        for upload in self._uploads.values():
            upload.abandon()
        self._uploads.clear()

"""Who is told of jobs."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from backend.service.jobs import Job
from backend.service.worker_messages import PreviewMesh
from shared_protocol.messages import Notice, Progress


@runtime_checkable
class Audience(Protocol):
    """The dispatcher's listeners; ``Viewers`` are the sessions of the server."""

    def told(self, job: Job, content: Progress | Notice, seq: int) -> None:
        """A job told something."""

    def shown(self, job: Job, mesh: PreviewMesh) -> None:
        """A job has a newer preview."""

    def ended(self, job: Job) -> None:
        """A job is done, failed or cancelled."""

    def resumed(self, job: Job) -> None:
        """A job went back to its queue to be taken up again."""

"""What the fake backend knows, and keeps over its restarts as a job store on disk would."""

from __future__ import annotations

from attrs import Factory, define

from shared_protocol.messages import BlobRef, Estimate, JobEvent, JobStatus, Submit
from shared_protocol.packing import blob_ref


@define
class FakeJob:
    """A job and its log."""

    status: JobStatus
    request: Estimate | Submit
    steps: int
    step: int = 0
    events: list[JobEvent] = Factory(list)
    watchers: set[str] = Factory(set)
    credit: dict[str, str] = Factory(dict)
    submitted: int = 1


@define
class Store:
    """What survives a restart."""

    blobs: dict[str, bytes] = Factory(dict)
    parts: dict[str, bytearray] = Factory(dict)
    jobs: dict[str, FakeJob] = Factory(dict)
    puts: int = 0
    """Bytes that came up, more than once where they came more than once."""
    fetched: int = 0
    """Bytes that went down."""
    previews: int = 0

    def keep(self, data: bytes) -> BlobRef:
        """Keep a blob."""
        ref = blob_ref(data)
        self.blobs[ref.sha256] = data
        return ref

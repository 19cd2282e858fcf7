"""Every message by its name on the wire."""

from __future__ import annotations

from typing import Final

from ..errors import Error
from .blobs import (
    Chunk,
    ChunkStored,
    FetchChunk,
    PutChunk,
)
from .jobs import (
    Accepted,
    Cancel,
    Cancelled,
    Estimate,
    Forget,
    Forgotten,
    JobList,
    JobStatus,
    ListJobs,
    Notice,
    PoseProposed,
    Progress,
    Result,
    Status,
    Submit,
)
from .previews import (
    GrantPreview,
    Preview,
)
from .session import (
    Bye,
    Hello,
    Ping,
    Pong,
    Welcome,
)

Content = (
    Accepted
    | Bye
    | Cancel
    | Cancelled
    | Chunk
    | ChunkStored
    | Error
    | Estimate
    | FetchChunk
    | Forget
    | Forgotten
    | GrantPreview
    | Hello
    | JobList
    | JobStatus
    | ListJobs
    | Notice
    | Ping
    | Pong
    | PoseProposed
    | Preview
    | Progress
    | PutChunk
    | Result
    | Status
    | Submit
    | Welcome
)

CONTENT_TYPES: Final[dict[str, type]] = {
    "accepted": Accepted,
    "bye": Bye,
    "cancel": Cancel,
    "cancelled": Cancelled,
    "chunk": Chunk,
    "chunk_stored": ChunkStored,
    "error": Error,
    "estimate": Estimate,
    "fetch_chunk": FetchChunk,
    "forget": Forget,
    "forgotten": Forgotten,
    "grant_preview": GrantPreview,
    "hello": Hello,
    "job_list": JobList,
    "job_status": JobStatus,
    "list_jobs": ListJobs,
    "notice": Notice,
    "ping": Ping,
    "pong": Pong,
    "pose_proposed": PoseProposed,
    "preview": Preview,
    "progress": Progress,
    "put_chunk": PutChunk,
    "result": Result,
    "status": Status,
    "submit": Submit,
    "welcome": Welcome,
}
"""The header's ``type`` -> the class of its content."""

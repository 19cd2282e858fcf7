"""The content of every message, as attrs classes; docs/protocol.md says who sends what when.

Lengths in metres and angles in radians in the body's world frame: right-handed, y up, a person who faces
the camera faces +z, the person's left is +x. Bulk arrays are never content: they travel as named raw
buffers beside the header, which the docstrings list under "Buffers".
"""

from __future__ import annotations

from .blobs import (
    Chunk,
    ChunkStored,
    FetchChunk,
    PutChunk,
)
from .contents import (
    CONTENT_TYPES,
    Content,
)
from .jobs import (
    Accepted,
    Cancel,
    Cancelled,
    CancelOutcome,
    Estimate,
    Forget,
    Forgotten,
    JobEvent,
    JobKind,
    JobList,
    JobState,
    JobStatus,
    JobSummary,
    ListJobs,
    Notice,
    PoseProposed,
    Progress,
    Result,
    Status,
    Submit,
)
from .pieces import (
    BlobRef,
    Camera,
    Fit,
    Maps,
    PhotoInfo,
    Pose,
)
from .previews import (
    GrantPreview,
    Preview,
)
from .session import (
    BodyInfo,
    Bye,
    Hello,
    Ping,
    Pong,
    Welcome,
)

__all__ = [
    "CONTENT_TYPES",
    "Accepted",
    "BlobRef",
    "BodyInfo",
    "Bye",
    "Camera",
    "Cancel",
    "CancelOutcome",
    "Cancelled",
    "Chunk",
    "ChunkStored",
    "Content",
    "Estimate",
    "FetchChunk",
    "Fit",
    "Forget",
    "Forgotten",
    "GrantPreview",
    "Hello",
    "JobEvent",
    "JobKind",
    "JobList",
    "JobState",
    "JobStatus",
    "JobSummary",
    "ListJobs",
    "Maps",
    "Notice",
    "PhotoInfo",
    "Ping",
    "Pong",
    "Pose",
    "PoseProposed",
    "Preview",
    "Progress",
    "PutChunk",
    "Result",
    "Status",
    "Submit",
    "Welcome",
]

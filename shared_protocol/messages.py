"""The content of every message, as attrs classes; docs/protocol.md says who sends what when.

Lengths in metres and angles in radians in the body's world frame: right-handed, y up, a person who faces
the camera faces +z, the person's left is +x. Bulk arrays are never content: they travel as named raw
buffers beside the header, listed under "Buffers" below.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import Factory, frozen

from .errors import Error
from .limits import Limits

JobKind = Literal["estimate", "generate"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
CancelOutcome = Literal["running", "pending", "terminal", "unknown"]


# -- shared pieces ----------------------------------------------------------------------------------


@frozen(kw_only=True)
class BlobRef:
    """Bytes by content: a photo that was put, a result that can be fetched."""

    sha256: str
    """64 hexadecimal digits."""
    size: int
    """Bytes."""


@frozen(kw_only=True)
class Pose:
    """SMPL-X parameters: world vertex = scale * LBS(betas, full_pose) + transl."""

    model: str
    """``anny_smplx55`` or ``smplx``: betas of one mean nothing to the other."""
    betas: tuple[float, ...]
    full_pose: tuple[float, ...]
    """165 numbers: 55 axis-angle vectors in the joint order of skeleton.py, relative to the T-pose."""
    transl: tuple[float, float, float]
    scale: float = 1.0


@frozen(kw_only=True)
class Camera:
    """Scaled orthographic camera of a photo: u = center_u + p x, v = center_v - p y, pixels, v down."""

    pixels_per_metre: float
    center_u: float
    center_v: float


@frozen(kw_only=True)
class PhotoInfo:
    """The photo as the backend works with it (upright, longest side at most 2048 px)."""

    width: int
    height: int
    sha256: str
    """Of the file as it was put."""


@frozen(kw_only=True)
class Fit:
    """How well a body explains its photo; None where nobody measured."""

    reprojection_error_px: float | None = None
    reprojection_error_percent: float | None = None
    silhouette_iou: float | None = None
    missing_joints: tuple[str, ...] = ()
    seconds: float = 0.0


@frozen(kw_only=True)
class Maps:
    """What an artist brings instead of a model's guess: picture files of the photo's size."""

    mask: BlobRef | None = None
    regions: BlobRef | None = None
    normals_front: BlobRef | None = None
    normals_back: BlobRef | None = None


# -- session (control) ------------------------------------------------------------------------------


@frozen(kw_only=True)
class Hello:
    """First message of a client on each socket."""

    client: str
    client_version: str
    protocol: str
    """``major.minor``."""
    token: str = ""
    """The connection file's; proves that the client may read that file. Unused under CURVE."""
    session: str = ""
    """A session to take up again after a reconnect; empty for a new one."""


@frozen(kw_only=True)
class BodyInfo:
    """A body model that the server has."""

    name: str
    licence: str
    n_betas: int


@frozen(kw_only=True)
class Welcome:
    """Reply to ``hello``: who the server is and what it can do."""

    session: str
    server: str
    server_version: str
    protocol: str
    limits: Limits
    device: str
    """``cpu`` or ``cuda`` and why, a sentence for people."""
    memory_mb: int
    """Of the machine that computes."""
    providers: dict[str, str] = Factory(dict)
    """Stage -> implementation and why."""
    bodies: tuple[BodyInfo, ...] = ()
    presets: tuple[str, ...] = ()
    guidances: tuple[str, ...] = ()
    ready: bool = True
    """Whether a warm worker waits; False in the first seconds after a start."""


@frozen(kw_only=True)
class Ping:
    """Is anybody there?"""


@frozen(kw_only=True)
class Pong:
    """Reply to ``ping``."""

    ready: bool
    running_jobs: int
    queued_jobs: int


@frozen(kw_only=True)
class Bye:
    """The sender leaves; jobs go on."""

    reason: str = ""


# -- blobs (data) -----------------------------------------------------------------------------------


@frozen(kw_only=True)
class PutChunk:
    """A piece of a blob. Buffers: ``data``. With no data it only asks how much is there already."""

    blob: BlobRef
    offset: int


@frozen(kw_only=True)
class ChunkStored:
    """Reply to ``put_chunk``: go on at ``offset``; whole when it equals the blob's size."""

    blob: BlobRef
    offset: int


@frozen(kw_only=True)
class FetchChunk:
    """Ask for a piece of a blob."""

    blob: BlobRef
    offset: int
    length: int


@frozen(kw_only=True)
class Chunk:
    """Reply to ``fetch_chunk``. Buffers: ``data``."""

    blob: BlobRef
    offset: int


# -- jobs (control) ---------------------------------------------------------------------------------


@frozen(kw_only=True)
class Estimate:
    """Propose a pose for a photo. Idempotent by the envelope's job_id; blobs must have been put."""

    photo: BlobRef
    photo_name: str
    """File name, for people; never used as a path."""
    height_cm: float = 175.0
    person: int | None = None
    body: Literal["anny", "smplx"] = "anny"
    initial: Pose | None = None
    """Start here: "re-fit keeping my edits"."""
    camera: Camera | None = None
    """Of ``initial``."""
    locked_joints: tuple[str, ...] = ()
    """Joints whose rotation stays as in ``initial``."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    maps: Maps = Maps()


@frozen(kw_only=True)
class Submit:
    """Generate a character. Idempotent by the envelope's job_id; blobs must have been put."""

    photo: BlobRef
    photo_name: str
    pose: Pose | None = None
    """The artist's corrected pose; None has it estimated."""
    camera: Camera | None = None
    """Of ``pose``; None has it found."""
    height_cm: float = 175.0
    person: int | None = None
    body: Literal["anny", "smplx"] = "anny"
    preset: Literal["draft", "standard", "paper"] = "standard"
    guidance: str = "mirror"
    """One of ``welcome.guidances``."""
    prompt: str = ""
    """Description of the person; empty has it written by the captioner."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    steps: int | None = None
    faces: int | None = None
    texture: int | None = None
    """Side of the baked texture in pixels; 0 for none, None for the preset's."""
    maps: Maps = Maps()


@frozen(kw_only=True)
class Accepted:
    """Reply to ``estimate`` and ``submit``, the same again for the same job_id."""

    state: JobState
    position: int = 0
    """Jobs before it in its queue."""


@frozen(kw_only=True)
class Progress:
    """Where a job is. Pushed with a growing ``seq``; a gap is closed with ``status``."""

    stage: str
    step: int = 0
    total: int = 0
    """0 for a stage that cannot count its steps."""
    eta: float | None = None
    """Seconds until the end of the stage."""
    provider: str = ""
    losses: dict[str, float] = Factory(dict)


@frozen(kw_only=True)
class Notice:
    """Something a person should know about a job. Pushed like ``progress``."""

    code: str
    message: str


@frozen(kw_only=True)
class PoseProposed:
    """Result of an estimate. Pushed like ``progress``."""

    pose: Pose
    camera: Camera
    photo: PhotoInfo
    fit: Fit
    body: BlobRef
    """A :class:`documents.BodyTemplate`; one a body model, the same for every photo."""
    caption: str = ""
    providers: dict[str, str] = Factory(dict)


@frozen(kw_only=True)
class Result:
    """A finished character. Pushed like ``progress``; never dropped: it waits in ``status``."""

    character: BlobRef
    """A :class:`documents.CharacterData`."""
    files: dict[str, BlobRef] = Factory(dict)
    """File name -> content: ``character.glb``, ``turntable.png``, ``run.json``, ``pose.json`` ..."""
    faces: int = 0
    seconds: float = 0.0
    guidance: str = ""
    """The guidance's own honest description."""
    warnings: tuple[str, ...] = ()


@frozen(kw_only=True)
class JobEvent:
    """One pushed message as the job's log keeps it; exactly one of the contents is there."""

    seq: int
    progress: Progress | None = None
    notice: Notice | None = None


@frozen(kw_only=True)
class Status:
    """Ask about a job and, with ``watch``, have this session follow it from now on."""

    since_seq: int = 0
    watch: bool = True


@frozen(kw_only=True)
class JobStatus:
    """Reply to ``status``; also pushed when a job ends or is taken up again."""

    kind: JobKind
    state: JobState
    photo_name: str
    created: float
    """Seconds since 1970, UTC."""
    seq: int
    """Of the newest event."""
    position: int = 0
    events: tuple[JobEvent, ...] = ()
    """After ``since_seq``, oldest first; old progress may have been thinned out."""
    pose: PoseProposed | None = None
    result: Result | None = None
    error: Error | None = None


@frozen(kw_only=True)
class ListJobs:
    """Ask for this owner's jobs, newest first."""


@frozen(kw_only=True)
class JobSummary:
    """A line of the job list."""

    job_id: str
    kind: JobKind
    state: JobState
    photo_name: str
    created: float
    expires: float
    """When the job and its files are deleted, seconds since 1970."""
    preset: str = ""
    stage: str = ""
    step: int = 0
    total: int = 0


@frozen(kw_only=True)
class JobList:
    """Reply to ``list_jobs``."""

    jobs: tuple[JobSummary, ...] = ()


@frozen(kw_only=True)
class Cancel:
    """Stop a job; again is the same as once."""


@frozen(kw_only=True)
class Cancelled:
    """Reply to ``cancel``: what the job was when the request came."""

    outcome: CancelOutcome


@frozen(kw_only=True)
class Forget:
    """Delete a job (the envelope's) or, with no job_id, everything of this owner, photos included."""


@frozen(kw_only=True)
class Forgotten:
    """Reply to ``forget``."""

    jobs: int
    bytes: int


# -- previews (data) --------------------------------------------------------------------------------


@frozen(kw_only=True)
class GrantPreview:
    """Credit for one preview of the envelope's job; granting again before it is spent adds nothing."""

    topology: str = ""
    """Topology id the client holds: a preview with the same one comes without its faces."""


@frozen(kw_only=True)
class Preview:
    """The newest mesh of a running job.

    Buffers: ``vertices`` (v, 3) float32 metres; ``colors`` (v, 3) uint8 sRGB; ``faces`` (f, 3) int32,
    left out where the client holds this topology.
    """

    step: int
    topology: str
    """Same id, same faces."""
    vertex_count: int
    face_count: int


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

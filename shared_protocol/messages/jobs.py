"""Jobs and what they tell; on control."""

from __future__ import annotations

from typing import Literal

from attrs import Factory, frozen

from ..errors import Error
from .pieces import BlobRef, Camera, Fit, Maps, PhotoInfo, Pose

JobKind = Literal["estimate", "generate"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
CancelOutcome = Literal["running", "pending", "terminal", "unknown"]


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
    maps: Maps = Factory(Maps)


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
    """One of ``welcome.guidances``; the default is that of 1.0 and stays, our clients name one."""
    prompt: str = ""
    """Description of the person; empty has it written by the captioner."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    steps: int | None = None
    faces: int | None = None
    texture: int | None = None
    """Side of the baked texture in pixels; 0 for none, None for the preset's."""
    maps: Maps = Factory(Maps)


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

"""What the client tells its owner; taken from :meth:`BackendClient.poll`, in order, on the owner's thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from attrs import Factory, frozen
from numpy.typing import NDArray

from ..documents import BodyTemplate, CharacterData
from ..errors import Error
from ..messages import (
    Accepted,
    CancelOutcome,
    JobStatus,
    JobSummary,
    Notice,
    PoseProposed,
    Progress,
    Result,
    Welcome,
)


@frozen(kw_only=True)
class Connected:
    """Hands were shaken; also after every reconnect."""

    welcome: Welcome


@frozen(kw_only=True)
class Disconnected:
    """The server is silent or refused us; ``retry_in`` seconds from now it is tried again (None: never)."""

    error: Error
    retry_in: float | None


@frozen(kw_only=True)
class Transfer:
    """Bytes of a job's photo going up or results coming down."""

    job_id: str
    direction: str
    """``up`` or ``down``."""
    done: int
    total: int


@frozen(kw_only=True)
class JobAccepted:
    """The server has the job."""

    job_id: str
    accepted: Accepted


@frozen(kw_only=True)
class JobProgressed:
    """Newest progress; older ones may have been skipped."""

    job_id: str
    progress: Progress


@frozen(kw_only=True)
class JobNoticed:
    """A warning about the result."""

    job_id: str
    notice: Notice


@frozen(kw_only=True)
class PoseArrived:
    """An estimate is done and its body template is here (from the cache where it was there already)."""

    job_id: str
    proposed: PoseProposed
    template: BodyTemplate


@frozen(kw_only=True, eq=False)
class PreviewArrived:
    """The mesh as it grows; ``faces`` is always there (kept from before where the topology is the same)."""

    job_id: str
    step: int
    topology: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    colors: NDArray[np.uint8]


@frozen(kw_only=True)
class ResultArrived:
    """A character is here, whole and checked; ``files`` are its files in the client's cache."""

    job_id: str
    result: Result
    character: CharacterData
    files: dict[str, Path] = Factory(dict)


@frozen(kw_only=True)
class JobFailed:
    """The job ended with an error (``cancelled`` is its own event), or its request was refused."""

    job_id: str
    error: Error


@frozen(kw_only=True)
class JobCancelled:
    """Reply to a cancel; a running job's end follows as :class:`JobEnded`."""

    job_id: str
    outcome: CancelOutcome


@frozen(kw_only=True)
class JobEnded:
    """A job reached a final state without result or error: it was cancelled."""

    job_id: str
    status: JobStatus


@frozen(kw_only=True)
class JobsListed:
    """Reply to a request for the job list."""

    jobs: tuple[JobSummary, ...]


@frozen(kw_only=True)
class JobsForgotten:
    """Reply to a forget; ``job_id`` is empty when everything was forgotten."""

    job_id: str
    jobs: int
    bytes: int


@frozen(kw_only=True)
class RequestRefused:
    """A request that belongs to no job was refused."""

    error: Error


ClientEvent = (
    Connected
    | Disconnected
    | JobAccepted
    | JobCancelled
    | JobEnded
    | JobFailed
    | JobNoticed
    | JobProgressed
    | JobsForgotten
    | JobsListed
    | PoseArrived
    | PreviewArrived
    | RequestRefused
    | ResultArrived
    | Transfer
)

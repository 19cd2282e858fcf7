"""What the server and its worker processes say to each other over a pipe of their own.

Plain pickles between two processes of the same program and user; nothing of it ever comes from a
client unchecked, and nothing large goes this way but the newest preview.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from shared_protocol.errors import Error
from shared_protocol.messages import (
    BlobRef,
    BodyInfo,
    Estimate,
    Notice,
    PoseProposed,
    Progress,
    Result,
    Submit,
)

LaneName = Literal["interactive", "batch"]


# -- to the worker ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunJob:
    """Do this job."""

    uid: str
    request: Estimate | Submit
    files: dict[str, Path]
    """SHA-256 of every blob the request names -> its file."""
    folder: Path
    """The job's own: the checkpoint, and results on their way out."""
    resume: bool
    """Continue from the checkpoint where one is there."""


@dataclass(frozen=True)
class StopJob:
    """Stop the job at the next safe point."""

    uid: str


@dataclass(frozen=True)
class LetGo:
    """Jobs were forgotten: remember nothing of what any job brought."""


@dataclass(frozen=True)
class Quit:
    """End the process."""


# -- from the worker --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What the machine and its providers are, as only a process with torch can know."""

    device: str
    providers: dict[str, str] = field(default_factory=dict)
    bodies: tuple[BodyInfo, ...] = ()


@dataclass(frozen=True)
class Warm:
    """Models are loaded: jobs start at once from now on."""

    facts: Facts


@dataclass(frozen=True)
class WarmingFailed:
    """The models could not be loaded; jobs would fail with the same words."""

    error: Error


@dataclass(frozen=True)
class Began:
    """The job has reached the process: what happens from now on is the job's doing."""

    uid: str


@dataclass(frozen=True)
class Told:
    """Progress or a notice of the running job."""

    uid: str
    content: Progress | Notice


@dataclass(frozen=True)
class PreviewMesh:
    """The mesh as it grows: (v, 3) float32 metres, (v, 3) uint8 sRGB, (f, 3) int32."""

    step: int
    topology: str
    vertices: np.ndarray
    colors: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class Previewed:
    """A newer mesh of the running job."""

    uid: str
    mesh: PreviewMesh


@dataclass(frozen=True)
class OutputFile:
    """A whole result file that waits in the job's folder to become a blob."""

    blob: BlobRef
    path: Path


@dataclass(frozen=True)
class Finished:
    """The job is done; ``files`` hold every blob its content names."""

    uid: str
    content: PoseProposed | Result
    files: tuple[OutputFile, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The job ended with an error."""

    uid: str
    error: Error
    spoiled: bool = False
    """The process should not do another job (it ran out of memory)."""
    at: str = ""
    """For the log: where an error of ours arose."""


@dataclass(frozen=True)
class Stopped:
    """The job stopped because it was told to."""

    uid: str


ToWorker = RunJob | StopJob | LetGo | Quit
FromWorker = Warm | WarmingFailed | Began | Told | Previewed | Finished | Failed | Stopped

"""What a run tells the outside while it works: stages, steps, preview meshes, warnings.

Every stage takes an ``on_event`` callable. An observer may raise :class:`backend.errors.Cancelled`
(or ``KeyboardInterrupt``) from it to stop the run at a safe point.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class StageStarted:
    """A named stage begins (``segmentation``, ``landmarks``, ``fitting``, ``optimization``, ...)."""

    stage: str
    provider: str = ""


@dataclass(frozen=True)
class StageFinished:
    """A named stage ended after ``seconds``."""

    stage: str
    seconds: float


@dataclass(frozen=True)
class Step:
    """Progress inside a stage: ``step`` of ``total`` done; ``eta`` seconds remain; weighted losses."""

    stage: str
    step: int
    total: int
    eta: float
    losses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """The mesh as it grows: (v, 3) float32 metres, (f, 3) int32, (v, 3) float32 sRGB colours."""

    step: int
    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray


@dataclass(frozen=True)
class Warned:
    """Something a person should know about the result (``code``, one sentence)."""

    code: str
    message: str


Event = StageStarted | StageFinished | Step | Preview | Warned
OnEvent = Callable[[Event], None]


def ignore_events(event: Event) -> None:
    """The observer of callers who do not watch."""

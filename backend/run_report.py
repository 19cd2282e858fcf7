"""run.json: what ran, with what, for how long, and what it cost.

:class:`RunRecorder` watches the events of a run (it is itself an ``OnEvent``) and passes them on;
:meth:`RunRecorder.report` freezes what it saw. Nothing in a report names a folder of the machine:
inputs are listed by file name, size and SHA-256.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from backend.events import (
    Event,
    OnEvent,
    Preview,
    StageFinished,
    StageStarted,
    Step,
    Warned,
    ignore_events,
)
from backend.files import write_whole
from backend.process_memory import peak_memory_mb
from backend.threads import usable_cores

FORMAT = "humanref-run"
FORMAT_VERSION = 1

# What a result depends on; optional ones are listed only where they are installed.
REPORTED_PACKAGES = (
    "humanref",
    "torch",
    "numpy",
    "numba",
    "scipy",
    "mediapipe",
    "opencv-contrib-python",
    "pillow",
    "trimesh",
    "pymcubes",
    "pygltflib",
    "diffusers",
    "transformers",
    "peft",
    "smplx",
)

LOSS_HISTORY_POINTS = 100
BODY_FIT = "fitting"
"""The stage after whose end a person waits for the first preview mesh."""


def package_versions() -> dict[str, str]:
    """Installed versions of :data:`REPORTED_PACKAGES`, and Python's own."""
    versions = {"python": platform.python_version()}
    for name in REPORTED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True)
class InputFile:
    """One file that went into a run."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""

    @staticmethod
    def of(path: Path) -> InputFile:
        """Digest of a file on disk. Raises OSError when it cannot be read."""
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return InputFile(path.name, path.stat().st_size, digest)


@dataclass(frozen=True)
class RunReport:
    """The contents of run.json; times in seconds, memory in MiB (2^20 bytes)."""

    started: str
    """UTC, ISO 8601."""
    seconds: float
    seed: int
    device: str
    guidance: str
    settings: Mapping[str, Any]
    providers: Mapping[str, str]
    """Stage name -> "provider: why"."""
    inputs: Mapping[str, InputFile] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds a stage took, in the order they ran; the same stage run twice is summed."""
    losses: Mapping[str, int | float] = field(default_factory=dict)
    """Weighted losses of the last step."""
    loss_history: Mapping[str, tuple[Mapping[str, int | float], ...]] = field(default_factory=dict)
    """Stage -> at most about 100 evenly spread steps: {"step": ..., loss: value, ...}."""
    first_preview_seconds: float | None = None
    """From the end of the body fit to the first preview mesh; None where there was none."""
    peak_memory_mb: float = 0.0
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=package_versions)
    machine: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    """Numbers about the result that a stage wants kept (faces, reprojection error, ...)."""

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types only; numbers that are not finite become null."""
        content = {"format": FORMAT, "version": FORMAT_VERSION, **dataclasses.asdict(self)}
        return {key: json_types(value) for key, value in content.items()}

    def write(self, path: Path) -> None:
        """Write run.json, whole or not at all.

        Raises:
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
        """
        text = json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n"
        write_whole(path, text.encode())


class RunRecorder:
    """An observer that remembers stages, losses and warnings and passes every event on."""

    def __init__(
        self, on_event: OnEvent = ignore_events, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._on_event = on_event
        self._clock = clock
        self._start = clock()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._stages: dict[str, float] = {}
        self._depth: dict[str, int] = {}
        self._providers: dict[str, str] = {}
        self._inputs: dict[str, InputFile] = {}
        self._warnings: list[str] = []
        self._losses: dict[str, float] = {}
        self._history: dict[str, list[Mapping[str, int | float]]] = {}
        self._body_fitted: float | None = None
        self._first_preview: float | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._depth[event.stage] = self._depth.get(event.stage, 0) + 1
            if event.provider:
                self._providers.setdefault(event.stage, event.provider)
        elif isinstance(event, StageFinished):
            self._depth[event.stage] = max(0, self._depth.get(event.stage, 0) - 1)
            # A stage reported from outside and from inside is one stage: the outer time counts.
            if self._depth[event.stage] == 0:
                self._stages[event.stage] = self._stages.get(event.stage, 0.0) + event.seconds
                if event.stage == BODY_FIT:
                    self._body_fitted = self._clock()
        elif isinstance(event, Preview):
            if self._body_fitted is not None and self._first_preview is None:
                self._first_preview = self._clock() - self._body_fitted
        elif isinstance(event, Warned):
            self.warn(event.message)
        elif isinstance(event, Step) and event.losses:
            self._losses = {name: float(value) for name, value in event.losses.items()}
            every = max(1, math.ceil(event.total / LOSS_HISTORY_POINTS))
            if event.step % every == 0 or event.step == event.total:
                history = self._history.setdefault(event.stage, [])
                history.append({"step": event.step, **self._losses})
        self._on_event(event)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every warning so far, in order, once each."""
        return tuple(self._warnings)

    @property
    def seconds(self) -> float:
        """Time since this recorder was made."""
        return self._clock() - self._start

    def warn(self, message: str) -> None:
        """Keep a warning once, however often it is said."""
        if message not in self._warnings:
            self._warnings.append(message)

    def add_providers(self, providers: Mapping[str, str]) -> None:
        """Stage -> "provider: why"; replaces what the stage's own event said."""
        self._providers.update(providers)

    def add_input(self, role: str, path: Path | None) -> None:
        """Digest an input file; ``None`` (not given) adds nothing."""
        if path is not None:
            self._inputs[role] = InputFile.of(path)

    def report(
        self,
        settings: Any,
        guidance: str,
        device: str,
        results: Mapping[str, Any] | None = None,
    ) -> RunReport:
        """What was seen so far.

        Args:
            settings: the dataclass of settings the run used; its ``seed`` is repeated on top.
            guidance: the guidance's own honest description, never just its name.
            device: the torch device that did the work, and why.
            results: numbers about the result to keep.
        """
        return RunReport(
            started=self._started,
            seconds=self.seconds,
            seed=int(settings.seed),
            device=device,
            guidance=guidance,
            settings=dataclasses.asdict(settings),
            providers=dict(self._providers),
            inputs=dict(self._inputs),
            stages=dict(self._stages),
            losses=dict(self._losses),
            loss_history={stage: tuple(steps) for stage, steps in self._history.items()},
            first_preview_seconds=self._first_preview,
            peak_memory_mb=peak_memory_mb(),
            warnings=self.warnings,
            machine={
                "system": f"{platform.system()} {platform.machine()}",
                "cores": usable_cores(),
                "processor": platform.processor() or platform.machine(),
                "executable": Path(sys.executable).name,
            },
            results=dict(results or {}),
        )


def json_types(value: Any) -> Any:
    """Strict JSON's types: numpy scalars to Python's, paths to names, tuples to lists, NaN to None."""
    if isinstance(value, Mapping):
        return {str(key): json_types(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_types(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, bool | str) or value is None:
        return value
    if hasattr(value, "tolist"):
        return json_types(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    return str(value)

"""A worker process: takes one job at a time from its pipe and never outlives its server."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, runtime_checkable

from backend.errors import Cancelled, HumanRefError
from backend.service.logs import origin
from backend.service.words import plain
from backend.service.worker_messages import (
    Began,
    Facts,
    Failed,
    Finished,
    FromWorker,
    LaneName,
    LetGo,
    Quit,
    RunJob,
    StopJob,
    Stopped,
    ToWorker,
    Warm,
    WarmingFailed,
)
from shared_protocol.errors import DISK_FULL, INTERNAL, OUT_OF_MEMORY, Error

Send = Callable[[FromWorker], None]
IsStopped = Callable[[], bool]
_NICE_BATCH = 5
_LOG_BYTES = 200_000


@runtime_checkable
class JobRunner(Protocol):
    """What a worker does; ``PipelineRunner`` is the real one."""

    def warm(self) -> Facts:
        """Load models. Raises HumanRefError when the installation cannot work."""

    def run(self, job: RunJob, send: Send, is_stopped: IsStopped) -> Finished:
        """Do a job; tells of it through ``send``.

        Raises:
            Cancelled: ``is_stopped`` said so.
            HumanRefError: the job cannot be done.
        """

    def let_go(self) -> None:
        """Drop whatever is kept in memory of earlier jobs' photos; called between two jobs."""


MakeRunner = Callable[[LaneName, "Path | None"], JobRunner]
"""Makes the runner inside the worker process: a function at the top of an importable module.

Arguments: the lane, and the user's SMPL-X path.
"""


def worker_main(
    pipe: Connection, make_runner: MakeRunner, lane: LaneName, smplx: Path | None, log: Path
) -> None:
    """Entry of the process."""
    _die_with_parent()
    _quiet(log)
    # Service managers and closed terminals signal all processes at once; checkpoints would be lost.
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if lane == "batch" and hasattr(os, "nice"):
        # Estimates and the server's answers go before a fit that takes a minute anyway.
        os.nice(_NICE_BATCH)
    _Worker(pipe, make_runner(lane, smplx)).run()
    # Nothing is left to flush, and taking torch apart would cost a second or two.
    os._exit(0)


class _Worker:
    """The process's main thread works; a second one listens, so that a stop is heard at once."""

    def __init__(self, pipe: Connection, runner: JobRunner) -> None:
        self._pipe, self._runner = pipe, runner
        self._jobs: queue.SimpleQueue[RunJob | LetGo | Quit] = queue.SimpleQueue()
        self._stop: set[str] = set()
        self._sending = threading.Lock()

    def run(self) -> None:
        threading.Thread(target=self._listen, name="pipe", daemon=True).start()
        try:
            self._send(Warm(self._runner.warm()))
        except Exception as error:
            self._send(WarmingFailed(describe(error, {})))
        while not isinstance(job := self._jobs.get(), Quit):
            if isinstance(job, LetGo):
                self._runner.let_go()
                continue
            self._send(self._do(job))
            self._stop.discard(job.uid)

    def _do(self, job: RunJob) -> FromWorker:
        known = names_of(job)
        self._send(Began(job.uid))
        try:
            return self._runner.run(job, self._send, lambda: job.uid in self._stop)
        except Cancelled:
            return Stopped(job.uid)
        except Exception as error:
            said = describe(error, known)
            spoiled = said.code == OUT_OF_MEMORY
            return Failed(job.uid, said, spoiled, origin(error) if said.code == INTERNAL else "")

    def _listen(self) -> None:
        try:
            while True:
                message: ToWorker = self._pipe.recv()
                if isinstance(message, StopJob):
                    self._stop.add(message.uid)
                else:
                    self._jobs.put(message)
        except (EOFError, OSError):
            # The server is gone: whatever runs has its checkpoint.
            os._exit(0)

    def _send(self, message: FromWorker) -> None:
        with self._sending, suppress(BrokenPipeError):
            self._pipe.send(message)


def names_of(job: RunJob) -> dict[str, str]:
    """What stands in the program's sentences for files of the server -> what a client knows them by."""
    maps = job.request.maps
    named = {
        "the mask": maps.mask,
        "the regions": maps.regions,
        "the front normals": maps.normals_front,
        "the back normals": maps.normals_back,
        job.request.photo_name: job.request.photo,
    }
    known = {str(job.folder): "the job's folder"}
    for name, blob in named.items():
        if blob is not None and blob.sha256 in job.files:
            known[str(job.files[blob.sha256])] = name
            known[blob.sha256] = name
    return known


def describe(error: Exception, names: dict[str, str]) -> Error:
    """An error as a client may read it: without a folder or file name of the server.

    Args:
        names: text to replace -> what to say instead; longer texts first.
    """
    if isinstance(error, HumanRefError):
        said = Error(
            code=error.code, message=error.message, hint=error.hint, retryable=error.retryable
        )
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        said = _OUT_OF_MEMORY
    elif isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        # How torch says it on a CPU.
        said = _OUT_OF_MEMORY
    elif isinstance(error, OSError) and error.errno in _FULL:
        said = Error(
            code=DISK_FULL,
            message="The server's disk is full.",
            hint="Free some space there, or forget old jobs, and try again.",
            retryable=True,
        )
    else:
        said = Error(
            code=INTERNAL,
            message=f"Something went wrong in humanref ({type(error).__name__}).",
            hint="The server's log folder has the details; please report them.",
        )
    return Error(
        code=said.code,
        message=plain(_renamed(said.message, names)),
        hint=plain(_renamed(said.hint, names)),
        retryable=said.retryable,
    )


def _renamed(text: str, names: dict[str, str]) -> str:
    for long in sorted(names, key=len, reverse=True):
        text = text.replace(long, names[long])
    return text


def _full_errnos() -> frozenset[int]:
    import errno

    return frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


_FULL = _full_errnos()
_OUT_OF_MEMORY = Error(
    code=OUT_OF_MEMORY,
    message="The server has not enough memory for this job.",
    hint="Close other programs there, or use the draft preset.",
    retryable=True,
)


def _die_with_parent() -> None:
    """On Linux the kernel kills us with the server, even while native code holds every thread.

    And when memory runs out it kills us first, before the server or Blender.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
    parent = os.getppid()
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _quiet(log: Path) -> None:
    """Native libraries write to the standard streams; tracebacks and crashes go to ``log``, bounded."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if log.is_file() and log.stat().st_size > _LOG_BYTES:
        flags |= os.O_TRUNC
    file = os.open(log, flags, 0o600)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(file, 2)
    os.close(sink)
    os.close(file)
    faulthandler.enable()

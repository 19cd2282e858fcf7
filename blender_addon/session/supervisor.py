"""When to start, attach to, and stop the local backend; remembers what this add-on started."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..shared_protocol.connection import Connection, is_alive, read_connection
from ..shared_protocol.errors import ProtocolError
from .backend_process import BackendProcess
from .find_backend import find_humanref
from .options import BackendOptions
from .problem import Problem, ProblemError

_LOOK_EVERY = 1.0
_LOOK_EVERY_STARTING = 0.2
_START_TIMEOUT = 90.0
IDLE_EXIT_MINUTES = 60


class Supervisor:
    """Cares for the local backend's life on behalf of a session.

    Args:
        process: what is started.
        record: file that remembers the process id of a backend left running, for the next Blender.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        process: BackendProcess,
        record: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.process = process
        self.paused = False
        """Whether the artist closed the line: then nothing attaches by itself."""
        self._record = record
        self._clock = clock
        self._started: float | None = None
        self._look_at = 0.0

    def owns(self, options: BackendOptions) -> bool:
        """Whether the local backend that runs was started by this add-on, now or before a restart."""
        return self.process.running() or self._left_running(options) is not None

    def alive_elsewhere(self, options: BackendOptions) -> bool:
        """Whether a local backend runs already."""
        # One of ours that has died keeps its process id until somebody asks how it ended.
        self.process.running()
        return _living(options) is not None

    def start(self, options: BackendOptions) -> None:
        """Start ``humanref serve``.

        Raises:
            ProblemError: it was not found or could not be started.
        """
        command = [str(find_humanref(options.command)), "serve"]
        command += ["--connection-file", str(options.file)]
        command += ["--idle-exit", str(IDLE_EXIT_MINUTES)]
        self.process.start(command)
        self.paused = False
        self._started = self._clock()
        self._look_at = 0.0

    def failure(self) -> Problem | None:
        """Why a start came to nothing; None while there is hope."""
        if self._started is None:
            return None
        if not self.process.running():
            self._started = None
            code = self.process.exit_code()
            return Problem.say(
                "backend_ended",
                f"The backend ended while it started (exit code {code}).",
                self._last_words(),
            )
        if self._clock() - self._started > _START_TIMEOUT:
            self._started = None
            return Problem.say(
                "backend_silent",
                f"The backend has not answered within {_START_TIMEOUT:.0f} seconds.",
                "Stop it and start it again. " + self._last_words(),
            )
        return None

    def time_to_attach(self, options: Callable[[], BackendOptions]) -> bool:
        """Whether a local backend is there that should be connected to; looks once a second."""
        now = self._clock()
        if self.paused or now < self._look_at:
            return False
        starting = self._started is not None
        self._look_at = now + (_LOOK_EVERY_STARTING if starting else _LOOK_EVERY)
        chosen = options()
        if chosen.remote or not (chosen.attach or starting):
            return False
        return self.alive_elsewhere(chosen)

    def attached(self) -> None:
        """A line to the backend is up: the start is over."""
        self._started = None

    def request_stop(self, options: BackendOptions) -> None:
        """Ask the backend to end, if this add-on started it."""
        self._started = None
        if self.process.running():
            self.process.request_stop()
            return
        left = self._left_running(options)
        if left is not None:
            with suppress(OSError):
                os.kill(left, signal.SIGTERM)
            self._record.unlink(missing_ok=True)

    def stopped(self, options: BackendOptions) -> bool:
        """Whether a backend that was asked to end has ended."""
        self.process.kill_if_stuck()
        return not self.process.running() and not self.alive_elsewhere(options)

    def leave(self, options: BackendOptions, *, busy: bool) -> None:
        """Blender closes: a backend of ours with jobs goes on, one without is stopped."""
        if busy and self.process.pid is not None:
            self._remember(self.process.pid)
            self.process.release()
        elif self.process.running():
            self.process.stop()
        elif not busy:
            self.request_stop(options)

    def _left_running(self, options: BackendOptions) -> int | None:
        """Process id of the backend that an earlier Blender of ours left running."""
        try:
            recorded = json.loads(self._record.read_text("utf-8")).get("pid")
        except (OSError, ValueError, AttributeError):
            return None
        connection = _living(options)
        # The id alone may by now be another program's: the connection file must name it as well.
        if connection is not None and connection.pid == recorded:
            return connection.pid
        return None

    def _remember(self, pid: int) -> None:
        scratch = self._record.with_suffix(".new")
        with suppress(OSError):
            scratch.write_text(json.dumps({"version": 1, "pid": pid}), "utf-8")
            scratch.replace(self._record)

    def _last_words(self) -> str:
        tail = self.process.log_tail(6)
        return f"Its last words: {tail}" if tail else ""


def _living(options: BackendOptions) -> Connection | None:
    """The local backend's connection, if its file is there and its process lives."""
    if options.remote:
        return None
    try:
        path = options.file
        if not path.exists():
            return None
        connection = read_connection(path)
    except (ProtocolError, ProblemError, OSError):
        # A file that is being written, or a wrong one: connecting on request says what is wrong.
        return None
    return connection if is_alive(connection) else None

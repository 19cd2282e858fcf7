"""The local backend as a process of its own: started and stopped on request, outliving Blender's jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .problem import ProblemError, mask_private_paths

_LOG_LIMIT = 1 << 20
STOP_WITHIN = 15.0
"""Seconds: more than a backend gives its workers to write down where they are (8, and 2 to say so)."""
# Variables of Blender's own Python would break the backend's.
_FOREIGN_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "LD_PRELOAD")


class BackendProcess:
    """A ``humanref serve`` that this Blender started.

    Its output goes to a file, of which :meth:`log_tail` shows the end when something fails.
    """

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping_since: float | None = None

    @property
    def pid(self) -> int | None:
        """Of the process we started and that has not ended."""
        return self._process.pid if self.running() and self._process else None

    def start(self, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """Start it; does nothing while it runs.

        Raises:
            ProblemError: ``backend_not_started`` when the system refuses.
        """
        if self.running():
            return
        self._stopping_since = None
        try:
            self._log_file.parent.mkdir(parents=True, exist_ok=True)
            self._keep_log_small()
            with self._log_file.open("ab") as log:
                log.write(f"\n-- {time.strftime('%Y-%m-%d %H:%M:%S')} start\n".encode())
                log.flush()
                self._process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=clean_environment(os.environ if environ is None else environ),
                    cwd=self._log_file.parent,
                    **_apart_from_blender(),
                )
        except OSError as error:
            raise ProblemError(
                "backend_not_started",
                f"The backend could not be started: {error.strerror or error}.",
                "Check its path in the add-on's preferences.",
            ) from error

    def running(self) -> bool:
        """Whether the process we started is alive."""
        return self._process is not None and self._process.poll() is None

    def exit_code(self) -> int | None:
        """Of a process that has ended; None before."""
        return None if self._process is None else self._process.poll()

    def request_stop(self) -> None:
        """Ask it to end; its jobs go on when it is started again. Returns at once."""
        if not self.running() or self._process is None:
            return
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        if sys.platform == "win32":
            # A process without a console cannot always be sent a break; its job store survives an end.
            with suppress(OSError):
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
                return
        self._process.terminate()

    def stop(self, timeout: float = STOP_WITHIN) -> None:
        """Ask it to end and wait; killed after ``timeout`` seconds (its job store survives that)."""
        if not self.running() or self._process is None:
            return
        self.request_stop()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout)

    def kill_if_stuck(self, after: float = STOP_WITHIN) -> None:
        """End it the hard way when it has ignored a request to stop for ``after`` seconds."""
        since = self._stopping_since
        if since is not None and self.running() and time.monotonic() - since > after:
            self._process.kill()  # type: ignore[union-attr]

    def release(self) -> None:
        """Let it run on without us."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            # The interpreter would otherwise warn at exit about a child that is meant to stay.
            process.returncode = 0

    def log_tail(self, lines: int = 12) -> str:
        """The last lines of its output, private folders masked; empty when there is none."""
        try:
            with self._log_file.open("rb") as log:
                log.seek(max(0, self._log_file.stat().st_size - 8192))
                text = log.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return mask_private_paths("\n".join(text.strip().splitlines()[-lines:]))

    def _keep_log_small(self) -> None:
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_LIMIT:
            self._log_file.replace(self._log_file.with_suffix(".old.log"))


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without what belongs to Blender's own interpreter."""
    return {key: value for key, value in environ.items() if key not in _FOREIGN_VARIABLES}


def _apart_from_blender() -> dict[str, object]:
    """So that closing Blender, or Ctrl-C in its terminal, does not end the backend's jobs."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags}
    return {"start_new_session": True}

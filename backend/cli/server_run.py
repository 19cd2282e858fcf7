"""One job on a server, from the command line: progress as if it ran here, Ctrl-C stops it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from backend.errors import Cancelled, HumanRefError
from backend.events import OnEvent, StageFinished, StageStarted, Step, Warned
from shared_protocol.client.client import BackendClient, new_job_id
from shared_protocol.client.events import (
    ClientEvent,
    Connected,
    Disconnected,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobNoticed,
    JobProgressed,
    Transfer,
)
from shared_protocol.client.keys import KeyPair
from shared_protocol.errors import Error
from shared_protocol.messages import Progress, Welcome

CONNECT_SECONDS = 15.0
STOP_SECONDS = 20.0
_TRANSFER_STAGES = {"up": "upload", "down": "download"}

E = TypeVar("E", bound=ClientEvent)


class StageEvents:
    """The server's newest progress as the events of a run here: each stage starts and finishes."""

    def __init__(self, on_event: OnEvent, clock: Callable[[], float] = time.perf_counter) -> None:
        self._on_event = on_event
        self._clock = clock
        self._stage = ""
        self._started = 0.0

    def progress(self, progress: Progress) -> None:
        """Where the job is now."""
        self._enter(progress.stage, progress.provider)
        if progress.total:
            self._step(progress.step, progress.total, progress.eta, progress.losses)

    def transfer(self, transfer: Transfer) -> None:
        """Bytes going up or coming down; all at once (or cached) is not worth a line."""
        stage = _TRANSFER_STAGES[transfer.direction]
        if transfer.done >= transfer.total and self._stage != stage:
            return
        self._enter(stage, "")
        kilobytes = -(-transfer.done // 1000), -(-transfer.total // 1000)
        self._step(*kilobytes, None, {})
        if transfer.done >= transfer.total:
            # What comes next is the server's time, not the line's.
            self.finish()

    def finish(self) -> None:
        """The running stage is over."""
        if self._stage:
            self._on_event(StageFinished(self._stage, self._clock() - self._started))
            self._stage = ""

    def _enter(self, stage: str, provider: str) -> None:
        if stage == self._stage:
            return
        self.finish()
        self._stage, self._started = stage, self._clock()
        self._on_event(StageStarted(stage, provider))

    def _step(self, step: int, total: int, eta: float | None, losses: dict[str, float]) -> None:
        if eta is None:
            eta = (self._clock() - self._started) * (total - step) / max(step, 1)
        self._on_event(Step(self._stage, step, total, eta, losses))


class ServerRun:
    """A client for the time of one command.

    Args:
        connection: the server's connection file.
        cache: folder for what is fetched; the caller removes it.
    """

    def __init__(
        self, connection: Path, keys: KeyPair | None, cache: Path, on_event: OnEvent
    ) -> None:
        self.job_id = new_job_id()
        self.welcome: Welcome | None = None
        self._away = False
        self._on_event = on_event
        self._stages = StageEvents(on_event)
        self.client = BackendClient(
            connection,
            client="humanref-cli",
            client_version=metadata.version("humanref"),
            cache_dir=cache,
            keys=keys,
        )

    def __enter__(self) -> ServerRun:
        self.client.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()

    def connect(self) -> Welcome:
        """Shake hands.

        Raises:
            HumanRefError: nobody is there, or they do not want us.
        """
        end = time.monotonic() + CONNECT_SECONDS
        problem: Error | None = None
        while self.welcome is None:
            left = end - time.monotonic()
            if left <= 0 or not self.client.wait(left):
                raise _in_words(problem or _SILENT)
            for event in self.client.poll():
                if isinstance(event, Connected):
                    self.welcome = event.welcome
                elif isinstance(event, Disconnected):
                    problem = event.error
                    if event.retry_in is None or problem.code == "no_backend":
                        raise _in_words(problem)
        return self.welcome

    def finish(self, kind: type[E]) -> E:
        """Wait for the job's end; ``kind`` is the event that holds what was asked for.

        Raises:
            Cancelled: by Ctrl-C (here) or by somebody else (there).
            HumanRefError: the job failed, or the server does not want us any more.
        """
        try:
            return self._wait(kind, time.monotonic() + 1e9)
        except KeyboardInterrupt:
            self._stop(kind)
            raise Cancelled("Stopped, here and on the server.", "Nothing was written.") from None

    def _wait(self, kind: type[E], until: float) -> E:
        while time.monotonic() < until:
            # Short waits: on Windows a longer one would keep Ctrl-C waiting.
            self.client.wait(0.2)
            for event in self.client.poll():
                if isinstance(event, kind):
                    self._stages.finish()
                    return event
                self._tell(event)
        raise _in_words(_SILENT)

    def _tell(self, event: ClientEvent) -> None:
        if isinstance(event, JobProgressed):
            self._stages.progress(event.progress)
        elif isinstance(event, Transfer):
            self._stages.transfer(event)
        elif isinstance(event, JobNoticed):
            self._on_event(Warned(event.notice.code, event.notice.message))
        elif isinstance(event, JobFailed):
            raise _in_words(event.error)
        elif isinstance(event, JobEnded):
            raise Cancelled("The job was cancelled on the server.", "Nothing was written.")
        elif isinstance(event, Disconnected):
            if event.retry_in is None:
                raise _in_words(event.error)
            self._lost(event.error)
        elif isinstance(event, Connected):
            self._lost(None)

    def _lost(self, error: Error | None) -> None:
        """Say once that the line is cut; the progress goes on by itself when it is back."""
        if error is not None and not self._away:
            self._on_event(Warned(error.code, f"{error.message} {error.hint}"))
        elif error is None and self._away:
            self._on_event(Warned("connected", "The server is back."))
        self._away = error is not None

    def _stop(self, kind: type[E]) -> None:
        """Cancel the job over there; a second Ctrl-C leaves without waiting for the answer."""
        self._on_event(
            Warned("stopping", "Stopping the job on the server; Ctrl-C again leaves at once.")
        )
        self.client.cancel(self.job_id)
        end = time.monotonic() + STOP_SECONDS
        try:
            while time.monotonic() < end:
                self.client.wait(0.2)
                for event in self.client.poll():
                    if isinstance(event, kind | JobEnded | JobFailed):
                        return
                    if isinstance(event, JobCancelled) and event.outcome in ("unknown", "terminal"):
                        return
        except KeyboardInterrupt:
            pass
        raise Cancelled(
            "Stopped here; the server has not answered yet.",
            "Its job may go on: look at the server.",
        )


def _in_words(error: Error) -> HumanRefError:
    return HumanRefError(error.code, error.message, error.hint, retryable=error.retryable)


_SILENT = Error(
    code="no_backend",
    message="The server does not answer.",
    hint="Check that it runs and that this computer may reach it.",
    retryable=True,
)

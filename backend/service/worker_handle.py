"""A worker process as the server sees it."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from backend.service.jobs import Job
from backend.service.lanes import Mailbox
from backend.service.worker import MakeRunner, worker_main
from backend.service.worker_messages import FromWorker, LaneName, Previewed, ToWorker

OnMessage = Callable[["WorkerHandle", FromWorker], None]
OnGone = Callable[["WorkerHandle"], None]


class WorkerHandle:
    """Starts the process, listens to it on a thread of its own, and notices its death.

    Start it from a thread that lives as long as the server: Linux kills the child with that thread.
    """

    def __init__(
        self,
        lane: LaneName,
        make_runner: MakeRunner,
        smplx: Path | None,
        log: Path,
        mailbox: Mailbox,
        on_message: OnMessage,
        on_gone: OnGone,
    ) -> None:
        """``on_message`` and ``on_gone`` are called on the loop's thread."""
        self.lane = lane
        self.state: Literal["warming", "idle", "busy", "leaving"] = "warming"
        self.job: Job | None = None
        self.kill_at: float | None = None
        """Monotonic seconds when patience with it ends."""
        self._mailbox, self._on_message, self._on_gone = mailbox, on_message, on_gone
        self._preview: Previewed | None = None
        self._preview_lock = threading.Lock()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=worker_main,
            args=(theirs, make_runner, lane, smplx, log),
            name=f"humanref-{lane}",
            daemon=True,
        )
        self._process.start()
        # With our copy open, the end of the process would not be the end of the pipe.
        theirs.close()
        threading.Thread(
            target=self._listen, args=(self._pipe,), name=f"{lane}-pipe", daemon=True
        ).start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    def send(self, message: ToWorker) -> None:
        """Say something; to a dead worker nothing is said, its end is told by ``on_gone``."""
        with suppress(BrokenPipeError, OSError):
            self._pipe.send(message)

    def kill(self) -> None:
        """End the process at once; ``on_gone`` follows."""
        self.state = "leaving"
        self._process.kill()

    def _listen(self, pipe: Connection) -> None:
        try:
            while True:
                message: FromWorker = pipe.recv()
                if isinstance(message, Previewed):
                    self._keep_newest(message)
                else:
                    self._mailbox.post(lambda said=message: self._on_message(self, said))  # type: ignore[misc]
        except Exception:
            # The pipe ended, or a process that was killed half-way through a word left nonsense in it.
            self._process.kill()
        self._process.join()
        pipe.close()
        self._mailbox.post(lambda: self._on_gone(self))

    def _keep_newest(self, preview: Previewed) -> None:
        """One preview waits for the loop at most, however fast they come."""
        with self._preview_lock:
            waiting, self._preview = self._preview is not None, preview
        if not waiting:
            self._mailbox.post(self._show)

    def _show(self) -> None:
        with self._preview_lock:
            preview, self._preview = self._preview, None
        if preview is not None:
            self._on_message(self, preview)

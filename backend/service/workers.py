"""The worker processes of both lanes: kept warm, replaced when they die, never restarted in a frenzy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backend.service.lanes import Mailbox
from backend.service.logs import ServiceLog
from backend.service.memory import available_memory_mb
from backend.service.options import ServeOptions
from backend.service.worker import MakeRunner
from backend.service.worker_handle import WorkerHandle
from backend.service.worker_messages import (
    Facts,
    FromWorker,
    LaneName,
    LetGo,
    Quit,
    Warm,
    WarmingFailed,
)

_WARM_BATCH_MB = 3000
"""Memory that must be free for a second warm process: what a standard fit needs at most."""
_BACKOFF = (0.0, 1.0, 2.0, 5.0, 15.0, 60.0)
_GIVE_UP = 3
"""Deaths in a row before the first job, after which waiting jobs are told."""


class Workers:
    """Starts and replaces workers; says who is free."""

    def __init__(
        self,
        options: ServeOptions,
        make_runner: MakeRunner,
        log_file: Path,
        log: ServiceLog,
        mailbox: Mailbox,
        on_message: Callable[[WorkerHandle, FromWorker], None],
        on_gone: Callable[[WorkerHandle], None],
    ) -> None:
        """``on_message`` gets what concerns jobs; ``on_gone`` is told after a worker has died."""
        self._options, self._make_runner, self._log_file = options, make_runner, log_file
        self._log, self._mailbox = log, mailbox
        self._tell, self._tell_gone = on_message, on_gone
        self.all: list[WorkerHandle] = []
        self.facts: Facts | None = None
        """Known from the first warm worker on."""
        self._early_deaths: dict[LaneName, int] = {"interactive": 0, "batch": 0}
        self._start_at: dict[LaneName, float] = {"interactive": 0.0, "batch": 0.0}
        self._warm_batch = options.warm_batch
        self._closing = False

    def keep_up(self, now: float, waiting: dict[LaneName, int]) -> None:
        """Start the workers that should be there; ``waiting``: queued jobs of each lane."""
        if self._closing:
            return
        for lane in ("interactive", "batch"):
            while len(self._of(lane)) < self._wanted(lane, waiting[lane]):
                if now < self._start_at[lane]:
                    break
                try:
                    self._start(lane)
                except OSError as error:
                    # No memory or no processes left: that may pass.
                    self._log.failure("worker_not_started", error)
                    self._early_deaths[lane] += 1
                    self.delay(lane, now)

    def next_start(self, waiting: dict[LaneName, int]) -> float:
        """When :meth:`keep_up` has something to do, monotonic seconds."""
        lanes: tuple[LaneName, ...] = ("interactive", "batch")
        due = [
            self._start_at[lane]
            for lane in lanes
            if not self._closing and len(self._of(lane)) < self._wanted(lane, waiting[lane])
        ]
        return min(due, default=float("inf"))

    def free(self, lane: LaneName) -> WorkerHandle | None:
        """A worker that can begin a job of ``lane`` at once."""
        return next((w for w in self._of(lane) if w.state == "idle"), None)

    def is_hopeless(self, lane: LaneName) -> bool:
        """Whether workers of ``lane`` keep dying before they can do anything."""
        return self._early_deaths[lane] >= _GIVE_UP

    @property
    def ready(self) -> bool:
        """Whether an estimate would begin at once, or at least without loading anything."""
        return any(w.state in ("idle", "busy") for w in self._of("interactive"))

    def retire_surplus(self, waiting: dict[LaneName, int]) -> None:
        """Let idle workers go that are neither needed nor meant to stay warm."""
        for worker in self._of("batch"):
            if len(self._of("batch")) <= self._wanted("batch", waiting["batch"]):
                return
            if worker.state == "idle":
                self._dismiss(worker)

    def replace(self, worker: WorkerHandle) -> None:
        """Have a fresh process instead of one that cannot be trusted any more."""
        worker.kill()

    def let_go(self) -> None:
        """Have all of them drop what they remember of photos: jobs are being forgotten."""
        for worker in self.all:
            worker.send(LetGo())

    def close(self) -> None:
        """Ask idle workers to leave and start no more; busy ones are the caller's to stop."""
        self._closing = True
        for worker in self.all:
            if worker.state == "idle":
                self._dismiss(worker)
            elif worker.state == "warming":
                worker.kill()

    # -- inside -------------------------------------------------------------------------------------

    def _of(self, lane: LaneName) -> list[WorkerHandle]:
        return [w for w in self.all if w.lane == lane and w.state != "leaving"]

    def _wanted(self, lane: LaneName, waiting: int) -> int:
        if lane == "interactive":
            return 1
        busy = sum(w.state == "busy" for w in self._of(lane))
        kept = 1 if self._keeps_warm_batch() else 0
        return min(self._options.max_jobs, max(kept, busy + waiting))

    def _keeps_warm_batch(self) -> bool:
        """Decided once, after the first worker is up and its memory is in use."""
        if self._warm_batch is None and self.ready:
            free = available_memory_mb()
            self._warm_batch = free is None or free >= _WARM_BATCH_MB
        return bool(self._warm_batch) and self.ready

    def _start(self, lane: LaneName) -> None:
        worker = WorkerHandle(
            lane,
            self._make_runner,
            self._options.smplx_path,
            self._log_file,
            self._mailbox,
            self._hear,
            self._lose,
        )
        self.all.append(worker)
        self._log.event("worker_started", lane=lane, pid=worker.pid)

    def _dismiss(self, worker: WorkerHandle) -> None:
        worker.state = "leaving"
        worker.send(Quit())

    def _hear(self, worker: WorkerHandle, message: FromWorker) -> None:
        if isinstance(message, Warm | WarmingFailed):
            if worker.state != "warming":
                return
            worker.state = "idle"
            self._early_deaths[worker.lane] = 0
            if isinstance(message, Warm):
                self.facts = message.facts
                self._log.event("worker_warm", lane=worker.lane, pid=worker.pid)
            else:
                self._log.event("worker_not_warm", lane=worker.lane, code=message.error.code)
        self._tell(worker, message)

    def _lose(self, worker: WorkerHandle) -> None:
        self.all.remove(worker)
        self._log.event("worker_gone", lane=worker.lane, pid=worker.pid, was=worker.state)
        if worker.state == "warming" and not self._closing:
            self._early_deaths[worker.lane] += 1
        self._tell_gone(worker)

    def delay(self, lane: LaneName, now: float) -> None:
        """Wait before the next start of ``lane``, longer after every early death."""
        deaths = self._early_deaths[lane]
        self._start_at[lane] = now + _BACKOFF[min(deaths, len(_BACKOFF) - 1)]

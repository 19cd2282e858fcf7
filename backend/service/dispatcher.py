"""Who does what when: queues, running jobs, stops, deaths and ends. Lives on the loop's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from backend.service.archive import Freed
from backend.service.audience import Audience
from backend.service.failures import as_error, died
from backend.service.folders import DataFolder
from backend.service.jobs import Ending, Job
from backend.service.lanes import Failure
from backend.service.ledger import Ledger
from backend.service.logs import ServiceLog
from backend.service.options import ServeOptions
from backend.service.worker_handle import WorkerHandle
from backend.service.worker_messages import (
    Began,
    Failed,
    Finished,
    FromWorker,
    LaneName,
    Previewed,
    RunJob,
    StopJob,
    Stopped,
    Told,
)
from backend.service.workers import Workers
from shared_protocol.errors import WORKER_DIED, Error
from shared_protocol.messages import CancelOutcome, Notice, Progress

_MOST_ATTEMPTS = 5
"""Starts of one job, over all restarts of the server: a job that kills the machine ends some time."""


class Dispatcher:
    """All jobs of the server."""

    def __init__(
        self,
        options: ServeOptions,
        folder: DataFolder,
        ledger: Ledger,
        log: ServiceLog,
        audience: Audience,
    ) -> None:
        self._options, self._folder, self._ledger = options, folder, ledger
        self._log, self._audience = log, audience
        self.workers: Workers
        self.jobs: dict[str, Job] = {}
        self._queues: dict[LaneName, list[Job]] = {"interactive": [], "batch": []}
        self._forgetting: list[_Forgetting] = []
        self.stopping = False

    # -- asked by clients ---------------------------------------------------------------------------

    def restore(self, jobs: Sequence[Job]) -> None:
        """Take up the jobs of an earlier server: what was running goes first."""
        for job in jobs:
            self.jobs[job.uid] = job
            if job.is_over:
                continue
            # Numbers given out just before a kill may not be on disk: leave them behind.
            job.log.seq += 1000
            if job.record.attempts >= _MOST_ATTEMPTS:
                self._end(job, "failed", died("The server stopped every time it worked on this."))
                continue
            running = job.record.state == "running"
            job.change(state="queued")
            queue = self._queues[job.lane]
            queue.insert(sum(j.record.attempts > 0 for j in queue) if running else len(queue), job)

    def add(self, job: Job) -> None:
        """Queue a job that has been written down."""
        self.jobs[job.uid] = job
        self._queues[job.lane].append(job)
        self.run()

    def position(self, job: Job) -> int:
        """Jobs before it in its queue."""
        queue = self._queues[job.lane]
        return queue.index(job) if job in queue else 0

    def running(self) -> int:
        """Jobs that a worker is at."""
        return sum(worker.job is not None for worker in self.workers.all)

    def queued(self) -> int:
        """Jobs that wait."""
        return sum(map(len, self._queues.values()))

    def cancel(self, uid: str) -> CancelOutcome:
        """Stop a job; again is the same as once."""
        job = self.jobs.get(uid)
        if job is None:
            return "unknown"
        if job.is_over or job.settling:
            return "terminal"
        if job in self._queues[job.lane]:
            self._queues[job.lane].remove(job)
            self._end(job, "cancelled")
            return "pending"
        self._stop(job, "cancel", self._options.cancel_grace)
        return "running"

    def forget(self, uids: Sequence[str], done: Callable[[Freed | Failure], None]) -> None:
        """Delete jobs with all their files; running ones are killed first. ``done`` gets the sum."""
        jobs = [self.jobs[uid] for uid in uids]
        for job in jobs:
            if job in self._queues[job.lane]:
                self._queues[job.lane].remove(job)
        wait = {job.uid for job in jobs if job.settling or self._worker_of(job) is not None}
        self._forgetting.append(_Forgetting([job.uid for job in jobs], wait, done))
        for job in jobs:
            job.ending = "forget"
            worker = self._worker_of(job)
            if worker is not None:
                worker.kill()
        self._forget_ready()

    # -- the loop's ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Give jobs to free workers, and start workers that are missing."""
        if self.stopping:
            return
        now = time.monotonic()
        for lane, queue in self._queues.items():
            if self.workers.is_hopeless(lane):
                self._fail_waiting(lane)
            while queue and (worker := self.workers.free(lane)) is not None:
                self._start(queue.pop(0), worker)
        self.workers.retire_surplus(self._waiting())
        self.workers.keep_up(now, self._waiting())

    def tick(self, now: float) -> float:
        """Kill what did not stop in time; returns when to come again (monotonic seconds)."""
        due = self.workers.next_start(self._waiting())
        for worker in self.workers.all:
            if worker.kill_at is None:
                continue
            if now >= worker.kill_at:
                self._log.event("worker_killed", lane=worker.lane, pid=worker.pid)
                worker.kill_at = None
                worker.kill()
            else:
                due = min(due, worker.kill_at)
        if due <= now:
            self.run()
            due = self.workers.next_start(self._waiting())
        return due

    def stop(self) -> None:
        """Begin to stop: checkpoints are written, nothing new starts, jobs continue next time."""
        self.stopping = True
        for worker in self.workers.all:
            if worker.job is not None:
                self._stop(worker.job, "shutdown", self._options.stop_grace)
        self.workers.close()

    @property
    def stopped(self) -> bool:
        """Whether every worker has gone."""
        return not self.workers.all

    def hear(self, worker: WorkerHandle, message: FromWorker) -> None:
        """A worker said something."""
        job = worker.job
        if isinstance(message, Began | Told | Previewed | Finished | Failed | Stopped):
            if job is None or job.uid != message.uid:
                return
            if isinstance(message, Began):
                job.began = True
            elif isinstance(message, Told):
                self.tell(job, message.content)
            elif isinstance(message, Previewed):
                if not job.ending:
                    self._audience.shown(job, message.mesh)
            else:
                self._release(worker, job, message)
        self.run()

    def lose(self, worker: WorkerHandle) -> None:
        """A worker's process has ended."""
        job, worker.job = worker.job, None
        self.workers.delay(worker.lane, time.monotonic())
        if job is not None:
            if job.ending:
                self._stopped(job)
            else:
                self._died(job)
        self.run()

    def tell(self, job: Job, content: Progress | Notice) -> None:
        """Number, keep and pass on what a job says."""
        event, dropped = job.log.add(content)
        self._audience.told(job, content, event.seq)
        self._ledger.tell(job, event, dropped)

    def save_dirty(self) -> None:
        """Try again to write down what a full disk refused."""
        for job in self.jobs.values():
            if job.dirty:
                self._ledger.save(job)

    # -- inside -------------------------------------------------------------------------------------

    def _waiting(self) -> dict[LaneName, int]:
        return {lane: len(queue) for lane, queue in self._queues.items()}

    def _worker_of(self, job: Job) -> WorkerHandle | None:
        return next((w for w in self.workers.all if w.job is job), None)

    def _start(self, job: Job, worker: WorkerHandle) -> None:
        resume = job.record.attempts > 0
        job.change(state="running", attempts=job.record.attempts + 1)
        job.began = False
        worker.state, worker.job = "busy", job
        self._log.event("job_started", job=job.uid, kind=job.kind, attempt=job.record.attempts)
        record = job.record
        worker.send(
            RunJob(
                uid=job.uid,
                request=record.request,
                files=self._ledger.files(record),
                folder=self._folder.job(job.uid),
                resume=resume,
            )
        )
        self._ledger.save(job)

    def _stop(self, job: Job, why: Ending, grace: float) -> None:
        if job.ending:
            return
        job.ending = why
        worker = self._worker_of(job)
        if worker is None:
            # Its worker has just died: what becomes of it is being looked up.
            return
        worker.kill_at = time.monotonic() + grace
        worker.send(StopJob(job.uid))

    def _release(
        self, worker: WorkerHandle, job: Job, message: Finished | Failed | Stopped
    ) -> None:
        """The worker has finished with a job, one way or another."""
        worker.job, worker.kill_at = None, None
        if worker.state == "busy":
            worker.state = "idle"
        if isinstance(message, Failed) and message.spoiled:
            self.workers.replace(worker)
        elif self.stopping:
            self.workers.close()
        if isinstance(message, Finished):
            if job.ending == "cancel":
                self._stopped(job)
            else:
                self._settle(job, message)
        elif isinstance(message, Failed):
            if message.at:
                self._log.event("job_error", job=job.uid, at=message.at)
            if job.ending in ("cancel", "forget"):
                self._stopped(job)
            else:
                self._end(job, "failed", message.error)
        else:
            self._stopped(job)

    def _settle(self, job: Job, message: Finished) -> None:
        """Take over results, then say so: what was announced can be fetched, now and after a crash."""
        job.settling = True
        job.log.seq += 1
        before = job.record
        job.change(state="done", ended=time.time(), outcome=message.content)
        record, job.record = job.record, before

        def settled(outcome: Failure | None) -> None:
            job.settling = False
            if job.ending == "forget":
                self._stopped(job)
                return
            if isinstance(outcome, Failure):
                self._log.failure("results_not_kept", outcome.error)
                self._end(job, "failed", as_error(outcome.error))
                return
            job.record = record
            self._ended(job)

        self._ledger.settle(record, message.files, settled)

    def _end(self, job: Job, state: str, error: Error | None = None) -> None:
        """Failed or cancelled."""
        job.log.seq += 1
        job.change(state=state, ended=time.time(), outcome=error)
        self._ledger.save(job)
        self._ended(job)

    def _ended(self, job: Job) -> None:
        outcome = job.record.outcome
        code = outcome.code if isinstance(outcome, Error) else ""
        self._log.event("job_ended", job=job.uid, state=job.record.state, code=code)
        self._audience.ended(job)
        self.run()

    def _stopped(self, job: Job) -> None:
        """A job stopped because somebody wanted it to."""
        if job.ending == "forget":
            for each in self._forgetting:
                each.wait.discard(job.uid)
            self._forget_ready()
        elif job.ending == "cancel":
            self._end(job, "cancelled")
        else:
            # The server stops: the record says "running", which is taken up first next time.
            self._log.event("job_kept", job=job.uid)

    def _died(self, job: Job) -> None:
        """A worker died under a job that nobody stopped."""
        job.deaths += 1
        again = job.record.attempts < _MOST_ATTEMPTS and (job.deaths <= 1 or not job.began)

        def known(outcome: bool | Failure) -> None:
            if job.ending or self.stopping:
                self._stopped(job)
            elif again and (outcome is True or not job.began):
                job.change(state="queued")
                self._queues[job.lane].insert(0, job)
                self.tell(
                    job,
                    Notice(
                        code=WORKER_DIED,
                        message="The process that did the work died; a new one continues.",
                    ),
                )
                job.log.seq += 1
                self._audience.resumed(job)
                self.run()
            else:
                self._end(job, "failed", died("The process that did the work died."))

        self._ledger.has_checkpoint(job.uid, known)

    def _fail_waiting(self, lane: LaneName) -> None:
        queue = self._queues[lane]
        while queue:
            error = died("The processes that do the work die as soon as they start.")
            self._end(queue.pop(0), "failed", error)

    def _forget_ready(self) -> None:
        for each in [f for f in self._forgetting if not f.wait]:
            self._forgetting.remove(each)
            records = [self.jobs.pop(uid).record for uid in each.uids if uid in self.jobs]
            self._ledger.delete(records, each.done)


class _Forgetting:
    """A forget that may have to wait until running jobs are gone."""

    def __init__(
        self, uids: list[str], wait: set[str], done: Callable[[Freed | Failure], None]
    ) -> None:
        self.uids, self.wait, self.done = uids, wait, done

"""Who does what when: queues, running jobs, stops, deaths and ends. Lives on the loop's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from backend.errors import HumanRefError
from backend.service.archive import Freed
from backend.service.audience import Audience
from backend.service.failures import as_error, died
from backend.service.folders import DataFolder
from backend.service.forgetting import Forgettings
from backend.service.jobs import Ending, Job
from backend.service.lanes import Failure
from backend.service.ledger import Ledger
from backend.service.logs import ServiceLog
from backend.service.options import ServeOptions
from backend.service.queues import Queues
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
from shared_protocol.errors import DISK_FULL, WORKER_DIED, Error
from shared_protocol.messages import CancelOutcome, Notice, Progress

_MOST_ATTEMPTS = 5
"""Starts of one job, over all restarts of the server: a job that kills the machine ends some time."""
_ROOM = 256 << 20
"""Free bytes on which a job that found the disk full is tried again: a few results' worth."""


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
        self._queues = Queues()
        self._forgettings = Forgettings()
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
            (self._queues.add_again if running else self._queues.add)(job)

    def add(self, job: Job) -> None:
        """Queue a job that has been written down."""
        self.jobs[job.uid] = job
        self._queues.add(job)
        self.run()

    def position(self, job: Job) -> int:
        """Jobs before it in its queue."""
        return self._queues.position(job)

    def running(self) -> int:
        """Jobs that a worker is at."""
        return sum(worker.job is not None for worker in self.workers.all)

    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._queues)

    def cancel(self, uid: str) -> CancelOutcome:
        """Stop a job; again is the same as once."""
        job = self.jobs.get(uid)
        if job is None:
            return "unknown"
        if job.is_over or job.settling or job.unsettled is not None:
            return "terminal"
        if self._queues.remove(job):
            self._end(job, "cancelled")
            return "pending"
        self._stop(job, "cancel", self._options.cancel_grace)
        return "running"

    def forget(self, uids: Sequence[str], done: Callable[[Freed | Failure], None]) -> None:
        """Delete jobs with all their files; running ones are killed first. ``done`` gets the sum."""
        jobs = [self.jobs[uid] for uid in uids]
        for job in jobs:
            self._queues.remove(job)
        wait = {job.uid for job in jobs if job.settling or self._worker_of(job) is not None}
        self._forgettings.add([job.uid for job in jobs], wait, done)
        for job in jobs:
            job.ending = "forget"
            worker = self._worker_of(job)
            if worker is not None:
                worker.kill()
        if jobs:
            self.workers.let_go()
        self._forget_ready()

    # -- the loop's ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Give jobs to free workers, and start workers that are missing."""
        if self.stopping:
            return
        now = time.monotonic()
        for lane in self._queues.waiting():
            if self.workers.is_hopeless(lane):
                self._fail_waiting(lane)
            while (worker := self.workers.free(lane)) and (job := self._queues.take(lane)):
                self._start(job, worker)
        self.workers.retire_surplus(self._queues.waiting())
        self.workers.keep_up(now, self._queues.waiting())

    def tick(self, now: float) -> float:
        """Kill what did not stop in time; returns when to come again (monotonic seconds)."""
        due = self.workers.next_start(self._queues.waiting())
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
            due = self.workers.next_start(self._queues.waiting())
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

    @property
    def is_owing(self) -> bool:
        """Whether something waits for room on the disk."""
        owing = any(job.dirty or job.unsettled is not None for job in self.jobs.values())
        return owing or self._queues.holds

    def save_dirty(self) -> None:
        """Try again to write down what a full disk refused."""
        for job in self.jobs.values():
            if job.unsettled is not None:
                if not job.settling:
                    self._settle(job, job.unsettled)
            elif job.dirty:
                self._ledger.save(job)
        if self._queues.holds and self._folder.has_room(_ROOM):
            self._queues.release()
            self.run()

    def forget_now(self) -> None:
        """At the end of the server, when every worker has been killed: no deletion waits any more."""
        self._forgettings.let_go_of_all()
        self._forget_ready()

    # -- inside -------------------------------------------------------------------------------------

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
            elif message.error.code == DISK_FULL:
                self._hold(job, message.error)
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
                self._not_kept(job, message, outcome.error)
                return
            job.unsettled = None
            job.record = record
            self._ended(job)

        self._ledger.settle(record, message.files, settled)

    def _not_kept(self, job: Job, message: Finished, error: Exception) -> None:
        """The disk's trouble passes, and the result waits in the job's folder; anything else does not."""
        again, job.unsettled = job.unsettled is not None, None
        if not isinstance(error, HumanRefError):
            self._log.failure("results_not_kept", error)
            self._end(job, "failed", as_error(error))
            return
        job.unsettled = message
        if not again:
            self._log.failure("results_not_kept", error)
            text = f"The result is made and waits. {error.message} {error.hint}"
            self.tell(job, Notice(code=error.code, message=text.strip()))

    def _hold(self, job: Job, error: Error) -> None:
        """The disk was full under a job: a checkpoint makes it worth waiting for room."""

        def known(outcome: bool | Failure) -> None:
            if job.ending:
                self._stopped(job)
            elif outcome is not True or job.record.attempts >= _MOST_ATTEMPTS:
                self._end(job, "failed", error)
            else:
                job.change(state="queued")
                self._queues.hold(job)
                text = f"{error.message} The job goes on from its checkpoint when there is room."
                self._back(job, Notice(code=error.code, message=text))
                self._ledger.save(job)

        self._ledger.has_checkpoint(job.uid, known)

    def _back(self, job: Job, why: Notice) -> None:
        """Say that a job waits again."""
        self.tell(job, why)
        job.log.seq += 1
        self._audience.resumed(job)

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
            self._forgettings.let_go(job.uid)
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
                self._queues.add_first(job)
                text = "The process that did the work died; a new one continues."
                self._back(job, Notice(code=WORKER_DIED, message=text))
                self.run()
            else:
                self._end(job, "failed", died("The process that did the work died."))

        self._ledger.has_checkpoint(job.uid, known)

    def _fail_waiting(self, lane: LaneName) -> None:
        while (job := self._queues.take(lane)) is not None:
            error = died("The processes that do the work die as soon as they start.")
            self._end(job, "failed", error)

    def _forget_ready(self) -> None:
        for each in self._forgettings.take_ready():
            records = [self.jobs.pop(uid).record for uid in each.uids if uid in self.jobs]
            self._ledger.delete(records, each.done)

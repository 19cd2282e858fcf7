"""The jobs as the panel shows them: made from the client's events, nothing of Blender in here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..shared_protocol.client.events import (
    ClientEvent,
    JobAccepted,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobNoticed,
    JobProgressed,
    JobsForgotten,
    JobsListed,
    PoseArrived,
    ResultArrived,
    Transfer,
)
from ..shared_protocol.messages import JobSummary

ACTIVE = frozenset({"sending", "queued", "running", "cancelling", "fetching"})


@dataclass(frozen=True)
class Job:
    """One line of the job list.

    ``state`` is the wire's (queued, running, done, failed, cancelled) or one of ours: ``sending`` until
    the backend has accepted it, ``cancelling`` until it has stopped, ``fetching`` while results download.
    """

    job_id: str
    kind: str
    photo_name: str
    state: str = "sending"
    preset: str = ""
    stage: str = ""
    step: int = 0
    total: int = 0
    eta: float | None = None
    """Seconds until the end of the stage."""
    position: int = 0
    created: float = 0.0
    """Seconds since 1970, UTC."""
    expires: float = 0.0
    warnings: tuple[str, ...] = ()
    problem: str = ""

    @property
    def active(self) -> bool:
        """Whether something is still to come."""
        return self.state in ACTIVE

    @property
    def fraction(self) -> float:
        """Share of the current stage that is done, 0 to 1."""
        return min(1.0, self.step / self.total) if self.total > 0 else 0.0


class JobBook:
    """All jobs this Blender knows of."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def get(self, job_id: str) -> Job | None:
        """The job, if it is known."""
        return self._jobs.get(job_id)

    def all(self) -> list[Job]:
        """Newest first."""
        return sorted(self._jobs.values(), key=lambda job: (-job.created, job.job_id))

    def active(self) -> list[Job]:
        """Unfinished ones, newest first."""
        return [job for job in self.all() if job.active]

    def add(self, job: Job) -> None:
        """A job that this Blender asks for, or remembers."""
        self._jobs[job.job_id] = job

    def drop(self, job_id: str) -> None:
        """A job that never came to be."""
        self._jobs.pop(job_id, None)

    def change(self, job_id: str, **fields: object) -> None:
        """Set some fields of a job; of an unknown one nothing is known, so nothing is set."""
        job = self._jobs.get(job_id)
        if job is not None:
            self._jobs[job_id] = replace(job, **fields)  # type: ignore[arg-type]

    def merge(self, summaries: Iterable[JobSummary]) -> None:
        """Take over the backend's list: it is the truth about what exists there.

        What the backend has forgotten goes, except what it may not have heard of yet.
        """
        listed = {summary.job_id: summary for summary in summaries}
        for job_id, job in list(self._jobs.items()):
            if job_id not in listed and job.state != "sending":
                del self._jobs[job_id]
        for job_id, summary in listed.items():
            job = self._jobs.get(job_id) or Job(job_id, summary.kind, summary.photo_name)
            state: str = summary.state
            if job.state == "fetching" and state == "done":
                state = "fetching"
            elif job.state == "cancelling" and state in ("queued", "running"):
                state = "cancelling"
            self._jobs[job_id] = replace(
                job,
                kind=summary.kind,
                state=state,
                photo_name=summary.photo_name,
                created=summary.created,
                expires=summary.expires,
                preset=summary.preset,
                stage=summary.stage or job.stage,
                step=summary.step or job.step,
                total=summary.total or job.total,
            )

    def apply(self, event: ClientEvent) -> None:
        """Write an event of the client into the book; events of the connection change nothing."""
        if isinstance(event, JobsListed):
            self.merge(event.jobs)
        elif isinstance(event, JobsForgotten):
            self._forget(event.job_id)
        elif isinstance(event, JobAccepted):
            told = event.accepted
            # The upload's progress is over; what the job itself does is still to come.
            self.change(
                event.job_id, state=told.state, position=told.position, stage="", step=0, total=0
            )
        elif isinstance(event, Transfer):
            self._transferred(event)
        elif isinstance(event, JobProgressed):
            self._progressed(event)
        elif isinstance(event, JobNoticed):
            self._noticed(event.job_id, event.notice.message)
        elif isinstance(event, PoseArrived):
            self.change(event.job_id, state="done", stage="", eta=None)
        elif isinstance(event, ResultArrived):
            self.change(
                event.job_id, state="done", stage="", eta=None, warnings=event.result.warnings
            )
        elif isinstance(event, JobFailed):
            self.change(event.job_id, state="failed", eta=None, problem=event.error.message)
        elif isinstance(event, JobCancelled):
            self._cancelled(event)
        elif isinstance(event, JobEnded):
            self.change(event.job_id, state=event.status.state, eta=None)

    def _forget(self, job_id: str) -> None:
        if job_id:
            self._jobs.pop(job_id, None)
        else:
            self._jobs.clear()

    def _transferred(self, event: Transfer) -> None:
        job = self._jobs.get(event.job_id)
        if job is None:
            return
        state = job.state
        if event.direction == "down" and state in ("running", "queued", "done"):
            state = "fetching"
        stage = "upload" if event.direction == "up" else "download"
        self.change(
            event.job_id, state=state, stage=stage, step=event.done, total=event.total, eta=None
        )

    def _progressed(self, event: JobProgressed) -> None:
        job = self._jobs.get(event.job_id)
        if job is None or not job.active or job.state == "fetching":
            return
        told = event.progress
        state = job.state if job.state == "cancelling" else "running"
        self.change(
            event.job_id,
            state=state,
            stage=told.stage,
            step=told.step,
            total=told.total,
            eta=told.eta,
            position=0,
        )

    def _noticed(self, job_id: str, message: str) -> None:
        job = self._jobs.get(job_id)
        if job is not None and message not in job.warnings:
            self.change(job_id, warnings=(*job.warnings, message))

    def _cancelled(self, event: JobCancelled) -> None:
        if event.outcome == "running":
            self.change(event.job_id, state="cancelling", eta=None)
        elif event.outcome in ("pending", "unknown"):
            self.change(event.job_id, state="cancelled", eta=None)

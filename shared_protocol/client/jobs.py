"""All jobs of this client: on their way to the backend, and followed there."""

from __future__ import annotations

from ..codec import Envelope
from ..errors import JOB_UNKNOWN, Error
from ..messages import (
    Cancel,
    Cancelled,
    Forget,
    Forgotten,
    JobList,
    JobStatus,
    ListJobs,
    Notice,
    PoseProposed,
    Preview,
    Progress,
    Result,
)
from .events import JobCancelled, JobsForgotten, JobsListed, RequestRefused
from .follower import Follower, Surroundings
from .job_request import JobRequest
from .submission import Submission

_MOST_OVER = 256
"""Ended jobs that are remembered, so that a late push of theirs is known to be old."""


class Jobs:
    """What the owner asked for, job by job."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._submissions: dict[str, Submission] = {}
        self._followers: dict[str, Follower] = {}
        self._cache_to_clear = False

    # -- requests -----------------------------------------------------------------------------------

    def submit(self, job: JobRequest) -> None:
        """Bring a job to the backend and follow it; one that is on its way already stays as it is."""
        if job.job_id in self._submissions:
            return
        submission = Submission(
            job,
            self._around.requests,
            self._around.inbox,
            on_accepted=self._accepted,
            on_refused=lambda job: self._forget_submission(job.job_id),
        )
        self._submissions[job.job_id] = submission
        submission.begin()

    def watch(self, job_id: str, since_seq: int, previews: bool) -> None:
        """Follow a job that the backend has."""
        follower = self._followers.get(job_id)
        if follower is not None:
            follower.drop()
        follower = Follower(self._around, job_id, None, since_seq, previews)
        self._followers.pop(job_id, None)
        self._followers[job_id] = follower
        follower.ask_now()
        self._tidy()

    def cancel(self, job_id: str) -> None:
        """Stop a job, wherever it is."""
        submission = self._submissions.get(job_id)
        if submission is not None:
            submission.cancel()
            return

        def answered(reply: Envelope) -> None:
            if isinstance(reply.content, Cancelled):
                outcome = reply.content.outcome
                self._around.inbox.put(JobCancelled(job_id=job_id, outcome=outcome))
                if follower := self._followers.get(job_id):
                    follower.ask_now()
                elif outcome in ("running", "pending"):
                    # A job that nobody here has followed so far: its end is to be told all the same.
                    self.watch(job_id, 0, False)

        def refused(error: Error) -> None:
            if error.code == JOB_UNKNOWN:
                self._around.inbox.put(JobCancelled(job_id=job_id, outcome="unknown"))
            else:
                self._around.inbox.put(RequestRefused(error=error))

        self._around.requests.ask("control", Cancel(), answered, refused, job_id=job_id)

    def list_jobs(self) -> None:
        """Ask for the list."""

        def answered(reply: Envelope) -> None:
            if isinstance(reply.content, JobList):
                self._around.inbox.put(JobsListed(jobs=reply.content.jobs))

        self._around.requests.ask("control", ListJobs(), answered, self._refused)

    def forget(self, job_id: str) -> None:
        """Delete a job, or with no id everything; nothing more is heard of it but the answer."""
        for known in [job_id] if job_id else [*self._submissions, *self._followers]:
            if known in self._submissions:
                self._submissions.pop(known).drop()
            if known in self._followers:
                self._followers.pop(known).drop()

        def answered(reply: Envelope) -> None:
            if isinstance(gone := reply.content, Forgotten):
                self._cache_to_clear = True
                self._around.inbox.put(
                    JobsForgotten(job_id=job_id, jobs=gone.jobs, bytes=gone.bytes)
                )

        self._around.requests.ask("control", Forget(), answered, self._refused, job_id=job_id)

    # -- what comes ---------------------------------------------------------------------------------

    def pushed(self, envelope: Envelope) -> None:
        """A message that no request of ours waits for."""
        content = envelope.content
        if isinstance(content, Preview):
            self._around.previews.arrived(envelope, content)
        elif isinstance(content, Progress | Notice | PoseProposed | Result | JobStatus):
            follower = self._followers.get(envelope.job_id)
            if follower is not None:
                follower.pushed(envelope)

    def reconnected(self) -> None:
        """Every job says again where it is."""
        for follower in self._followers.values():
            follower.reconnected()

    def tick(self, now: float) -> float:
        """Do what is due; returns when there is more to do."""
        due = min((each.tick(now) for each in self._followers.values()), default=float("inf"))
        if self._cache_to_clear and all(each.over for each in self._followers.values()):
            # Nobody remembers which files an old job had: all go, what is wanted is fetched again.
            self._cache_to_clear = False
            self._around.downloads.clear_cache()
        return due

    def _accepted(self, job: JobRequest, cancelled: bool) -> None:
        self._forget_submission(job.job_id)
        follower = Follower(self._around, job.job_id, job.kind, 0, job.previews)
        previous = self._followers.pop(job.job_id, None)
        if previous is not None:
            previous.drop()
        self._followers[job.job_id] = follower
        if job.previews:
            self._around.previews.begin(job.job_id)
        follower.ask_now()
        self._tidy()
        if cancelled:
            self.cancel(job.job_id)

    def _forget_submission(self, job_id: str) -> None:
        self._submissions.pop(job_id, None)

    def _refused(self, error: Error) -> None:
        self._around.inbox.put(RequestRefused(error=error))

    def _tidy(self) -> None:
        over = [job_id for job_id, follower in self._followers.items() if follower.over]
        for job_id in over[:-_MOST_OVER]:
            del self._followers[job_id]

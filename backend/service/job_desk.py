"""Requests about jobs: estimate, submit, status, list, cancel, forget."""

from __future__ import annotations

import time

from backend.service.archive import Archive, Freed
from backend.service.dispatcher import Dispatcher
from backend.service.folders import job_uid
from backend.service.job_store import JobRecord
from backend.service.jobs import Job
from backend.service.lanes import Failure, Lane
from backend.service.options import ServeOptions
from backend.service.post import Asked, Post, Viewers
from backend.service.requests import JobRequest, check_job_id, check_request, tidy
from shared_protocol.errors import (
    JOB_CONFLICT,
    JOB_UNKNOWN,
    SHUTTING_DOWN,
    TOO_MANY_JOBS,
    ProtocolError,
)
from shared_protocol.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Estimate,
    Forget,
    Forgotten,
    JobList,
    ListJobs,
    Status,
    Submit,
)

_MOST_LISTED = 500


class JobDesk:
    """Answers on the control line; lives on the loop's thread."""

    def __init__(
        self,
        options: ServeOptions,
        dispatcher: Dispatcher,
        archive: Archive,
        lane: Lane,
        post: Post,
        viewers: Viewers,
    ) -> None:
        self._options, self._dispatcher = options, dispatcher
        self._archive, self._disk, self._post, self._viewers = archive, lane, post, viewers
        self._arriving: dict[str, _Arriving] = {}

    def take(self, asked: Asked) -> bool:
        """Deal with a message about jobs; False for any other.

        Raises:
            ProtocolError: the request is refused.
        """
        content = asked.envelope.content
        arriving = self._arriving_of(asked)
        if isinstance(content, Status | Cancel | Forget) and arriving is not None:
            arriving.later.append(asked)
        elif isinstance(content, Estimate | Submit):
            self._accept(asked, content)
        elif isinstance(content, Status):
            self._status(asked, content)
        elif isinstance(content, ListJobs):
            self._list(asked)
        elif isinstance(content, Cancel):
            self._cancel(asked)
        elif isinstance(content, Forget):
            self._forget(asked)
        else:
            return False
        return True

    # -- new jobs -----------------------------------------------------------------------------------

    def _accept(self, asked: Asked, sent: JobRequest) -> None:
        check_job_id(asked.job_id)
        request = tidy(sent)
        uid = self._uid(asked)
        job = self._dispatcher.jobs.get(uid)
        arriving = self._arriving.get(uid)
        known = job.record.request if job else arriving.request if arriving else None
        if known is not None and known != request:
            raise ProtocolError(
                JOB_CONFLICT,
                "Another job has this id already.",
                "Make a new random id for every new job.",
            )
        if job is not None:
            self._accepted(asked, job)
        elif arriving is not None:
            arriving.waiting.append(asked)
        else:
            self._write_down(asked, uid, request)
        # Only now: ids of refused requests would pile up.
        asked.session.watched.add(uid)

    def _write_down(self, asked: Asked, uid: str, request: JobRequest) -> None:
        if self._dispatcher.stopping:
            raise ProtocolError(
                SHUTTING_DOWN,
                "The server is stopping.",
                "Start it again, then try again.",
                retryable=True,
            )
        check_request(request, self._options)
        owner = asked.session.owner
        open_jobs = sum(not job.is_over for job in self._jobs_of(owner))
        open_jobs += sum(each.owner == owner for each in self._arriving.values())
        if open_jobs >= self._options.limits.open_jobs:
            raise ProtocolError(
                TOO_MANY_JOBS,
                f"{open_jobs} jobs are unfinished; more are not taken.",
                "Wait for one to end, or cancel one.",
                retryable=True,
            )
        record = JobRecord(
            uid=uid,
            owner=owner,
            job_id=asked.job_id,
            kind="estimate" if isinstance(request, Estimate) else "generate",
            request=request,
            created=time.time(),
        )
        self._arriving[uid] = _Arriving(owner, request, [asked])
        self._disk.do(
            lambda: self._archive.accept(record), lambda outcome: self._written(record, outcome)
        )

    def _written(self, record: JobRecord, outcome: JobRecord | Failure) -> None:
        arriving = self._arriving.pop(record.uid)
        if isinstance(outcome, Failure):
            for asked in arriving.waiting:
                asked.session.leave(record.uid)
                self._post.refuse_asked(asked, outcome.error)
        else:
            job = Job(record)
            self._dispatcher.add(job)
            for asked in arriving.waiting:
                self._accepted(asked, job)
        for asked in arriving.later:
            self._take_late(asked)

    def _take_late(self, asked: Asked) -> None:
        try:
            self.take(asked)
        except ProtocolError as error:
            self._post.refuse_asked(asked, error)

    def _arriving_of(self, asked: Asked) -> _Arriving | None:
        """The job that a message is about, if it is being written down; the last of all without an id."""
        if asked.job_id:
            return self._arriving.get(self._uid(asked))
        owner = asked.session.owner
        return next((a for a in reversed(self._arriving.values()) if a.owner == owner), None)

    def _accepted(self, asked: Asked, job: Job) -> None:
        position = self._dispatcher.position(job)
        self._post.answer(asked, Accepted(state=job.record.state, position=position))

    # -- known jobs ---------------------------------------------------------------------------------

    def _status(self, asked: Asked, content: Status) -> None:
        job = self._known(asked)
        watched = asked.session.watched
        (watched.add if content.watch else watched.discard)(job.uid)
        status = job.status(content.since_seq, self._dispatcher.position(job))
        self._post.answer(asked, status)

    def _list(self, asked: Asked) -> None:
        jobs = sorted(self._jobs_of(asked.session.owner), key=lambda job: -job.record.created)
        ttl = self._options.ttl_days
        lines = tuple(job.summary(ttl) for job in jobs[:_MOST_LISTED])
        self._post.answer(asked, JobList(jobs=lines))

    def _cancel(self, asked: Asked) -> None:
        check_job_id(asked.job_id)
        outcome = self._dispatcher.cancel(self._uid(asked))
        self._post.answer(asked, Cancelled(outcome=outcome))

    def _forget(self, asked: Asked) -> None:
        owner = asked.session.owner
        everything = not asked.job_id
        if everything:
            uids = [job.uid for job in self._jobs_of(owner)]
        else:
            check_job_id(asked.job_id)
            # Asked again because the answer was lost, it is gone already: that is no error.
            uids = [uid for uid in (self._uid(asked),) if uid in self._dispatcher.jobs]
        only = "" if everything else self._uid(asked)

        def forgotten(outcome: Freed | Failure) -> None:
            for uid in uids:
                self._viewers.forgotten(uid)
            if isinstance(outcome, Failure):
                self._post.refuse_asked(asked, outcome.error)
            else:
                self._forget_rest(asked, outcome, only)

        self._dispatcher.forget(uids, forgotten)

    def _forget_rest(self, asked: Asked, freed: Freed, only: str) -> None:
        """What the loop does not know: jobs of a newer version, photos that belong to no job."""
        owner = asked.session.owner

        def delete() -> Freed:
            unread = self._archive.delete_unread(owner, only)
            uploads = 0 if only else self._archive.delete_uploads(owner)
            return Freed(unread.jobs, unread.bytes + uploads)

        def deleted(outcome: Freed | Failure) -> None:
            if isinstance(outcome, Failure):
                self._post.refuse_asked(asked, outcome.error)
            else:
                jobs, size = freed.jobs + outcome.jobs, freed.bytes + outcome.bytes
                self._post.answer(asked, Forgotten(jobs=jobs, bytes=size))

        self._disk.do(delete, deleted)

    def _known(self, asked: Asked) -> Job:
        check_job_id(asked.job_id)
        job = self._dispatcher.jobs.get(self._uid(asked))
        if job is None:
            raise ProtocolError(
                JOB_UNKNOWN,
                "The server knows no such job (any more).",
                "Finished jobs are deleted after a week; submit it again.",
            )
        return job

    def _jobs_of(self, owner: str) -> list[Job]:
        return [job for job in self._dispatcher.jobs.values() if job.record.owner == owner]

    @staticmethod
    def _uid(asked: Asked) -> str:
        return job_uid(asked.session.owner, asked.job_id)


class _Arriving:
    """A job that is being written down, and who waits for that."""

    def __init__(self, owner: str, request: JobRequest, waiting: list[Asked]) -> None:
        self.owner, self.request, self.waiting = owner, request, waiting
        self.later: list[Asked] = []
        """What was asked about it meanwhile."""

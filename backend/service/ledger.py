"""The loop's side of the archive: what happens to jobs is written down on the disk lane, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from backend.service.archive import Archive, Freed
from backend.service.job_store import JobRecord
from backend.service.jobs import Job
from backend.service.lanes import Failure, Lane
from backend.service.logs import ServiceLog
from backend.service.worker_messages import OutputFile
from shared_protocol.messages import JobEvent


class Ledger:
    """Never waits; what a full disk refuses is kept in memory and written later."""

    def __init__(self, archive: Archive, lane: Lane, log: ServiceLog) -> None:
        self._archive, self._lane, self._log = archive, lane, log

    def files(self, record: JobRecord) -> dict[str, Path]:
        """See :meth:`Archive.files`."""
        return self._archive.files(record)

    def save(self, job: Job) -> None:
        """Write down a job's state."""
        record = job.record

        def saved(outcome: Failure | None) -> None:
            job.dirty = isinstance(outcome, Failure)
            self._logged(outcome)

        write = self._archive.finish if job.is_over else self._archive.update
        self._lane.do(lambda: write(record), saved)

    def tell(self, job: Job, event: JobEvent, dropped: Sequence[int]) -> None:
        """Write down what a job told."""
        uid = job.uid
        self._lane.do(lambda: self._archive.log(uid, [event], dropped), self._logged)

    def settle(
        self,
        record: JobRecord,
        files: Sequence[OutputFile],
        done: Callable[[Failure | None], None],
    ) -> None:
        """Take over results and write down the end; ``done`` says whether that worked."""
        self._lane.do(lambda: self._archive.finish(record, files), done)

    def has_checkpoint(self, uid: str, done: Callable[[bool | Failure], None]) -> None:
        """Look whether a fit can be continued."""
        self._lane.do(lambda: self._archive.has_checkpoint(uid), done)

    def delete(self, jobs: Sequence[JobRecord], done: Callable[[Freed | Failure], None]) -> None:
        """Delete jobs with all their files."""
        self._lane.do(lambda: self._archive.delete(jobs), done)

    def _logged(self, outcome: Failure | None) -> None:
        if isinstance(outcome, Failure):
            self._log.failure("not_written", outcome.error)

"""A job as the server knows it while it lives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from backend.service.event_log import EventLog
from backend.service.job_store import JobRecord
from backend.service.worker_messages import Finished, LaneName
from shared_protocol.errors import Error
from shared_protocol.messages import (
    JobKind,
    JobStatus,
    JobSummary,
    PoseProposed,
    Result,
    Submit,
)

Ending = Literal["", "cancel", "forget", "shutdown"]
TERMINAL = ("done", "failed", "cancelled")


@dataclass
class Job:
    """The record that is kept on disk, and what only matters while the server runs."""

    record: JobRecord
    log: EventLog = field(default_factory=EventLog)
    ending: Ending = ""
    """Why a running job was told to stop."""
    deaths: int = 0
    """Workers that died under it since the server started."""
    began: bool = False
    """Its worker has said so, this time."""
    settling: bool = False
    """The worker has given its answer, and that is being written down."""
    dirty: bool = False
    """The record on disk is older than this one (the disk was full)."""
    unsettled: Finished | None = None
    """The worker's answer, which the disk would not take yet; its files wait in the job's folder."""

    @property
    def uid(self) -> str:
        """Its name inside the server."""
        return self.record.uid

    @property
    def kind(self) -> JobKind:
        """What is wanted."""
        return self.record.kind

    @property
    def lane(self) -> LaneName:
        """Estimates never wait behind characters."""
        return "interactive" if self.record.kind == "estimate" else "batch"

    @property
    def is_over(self) -> bool:
        """Done, failed or cancelled."""
        return self.record.state in TERMINAL

    def change(self, **fields: object) -> None:
        """Replace fields of the record; its ``seq`` follows the log."""
        self.record = replace(self.record, seq=self.log.seq, **fields)  # type: ignore[arg-type]

    def expires(self, ttl_days: float) -> float:
        """When it is deleted, seconds since 1970."""
        return (self.record.ended or self.record.created) + ttl_days * 86400.0

    def status(self, since_seq: int, position: int) -> JobStatus:
        """Everything a client may want to know."""
        record = self.record
        outcome = record.outcome
        return JobStatus(
            kind=record.kind,
            state=record.state,
            photo_name=record.request.photo_name,
            created=record.created,
            seq=self.log.seq,
            position=position,
            events=self.log.since(since_seq),
            pose=outcome if isinstance(outcome, PoseProposed) else None,
            result=outcome if isinstance(outcome, Result) else None,
            error=outcome if isinstance(outcome, Error) else None,
        )

    def summary(self, ttl_days: float) -> JobSummary:
        """A line of the job list."""
        record, progress = self.record, self.log.progress
        return JobSummary(
            job_id=record.job_id,
            kind=record.kind,
            state=record.state,
            photo_name=record.request.photo_name,
            created=record.created,
            expires=self.expires(ttl_days),
            preset=record.request.preset if isinstance(record.request, Submit) else "",
            stage=progress.stage if progress else "",
            step=progress.step if progress else 0,
            total=progress.total if progress else 0,
        )

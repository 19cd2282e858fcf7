"""One job as it goes on: its events in order, its result when it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic

from attrs import frozen

from ..codec import Envelope
from ..errors import INTERNAL, Error, ProtocolError
from ..messages import BlobRef, JobKind, JobStatus, Notice, PoseProposed, Progress, Result, Status
from ..packing import unpack_character, unpack_template
from .downloads import Downloads
from .event_order import EventOrder
from .events import (
    JobEnded,
    JobFailed,
    JobNoticed,
    JobProgressed,
    PoseArrived,
    ResultArrived,
    Transfer,
)
from .inbox import Inbox
from .previews import Previews
from .requests import Requests
from .timing import Timing

_GAP_PATIENCE = 0.2
"""Seconds a missing event may still be on its way."""


@frozen
class Surroundings:
    """What every follower works with."""

    requests: Requests
    downloads: Downloads
    previews: Previews
    inbox: Inbox
    timing: Timing


class Follower:
    """Tells the owner of a job's progress and notices and, at last, of its one end.

    Pushes may come twice, late or never. The status is asked for when something is missing, after a
    reconnect, and when the job has said nothing for a while (its last push may be what was lost).
    """

    def __init__(
        self,
        around: Surroundings,
        job_id: str,
        kind: JobKind | None,
        since_seq: int,
        previews: bool,
    ) -> None:
        self._around = around
        self._job_id = job_id
        self._kind = kind
        self._order = EventOrder(since_seq)
        self._asked = ""
        self._ask_at = float("inf")
        self._pose: PoseProposed | None = None
        self._pose_told = False
        self._result: Result | None = None
        self.over = False
        """Whether the owner has been told the end."""
        if previews:
            around.previews.begin(job_id)

    # -- what comes ---------------------------------------------------------------------------------

    def pushed(self, envelope: Envelope) -> None:
        """Take a message that the backend sent by itself."""
        if self.over:
            return
        content = envelope.content
        now = monotonic()
        # Put off only while nothing is missing: a gap is not closed by what comes after it.
        if not self._order.gap and not self._ending:
            self._ask_at = now + self._around.timing.ask_job_every
        if isinstance(content, Progress | Notice):
            self._tell(envelope.seq, content)
        elif isinstance(content, PoseProposed | Result | JobStatus):
            if envelope.seq:
                self._order.tell(envelope.seq, progress=False)
            if isinstance(content, PoseProposed):
                self._take_pose(content)
            elif isinstance(content, Result):
                self._take_result(content)
            else:
                self._take_state(content)
        if self._order.gap:
            self._ask_at = min(self._ask_at, now + _GAP_PATIENCE)

    def reconnected(self) -> None:
        """A new line: whatever the backend says first is believed, even when it knows less than we."""
        if not self.over:
            self._order.restart()
            self.ask_now()

    def ask_now(self) -> None:
        """Ask for the status with the next :meth:`tick`."""
        if not self.over and not self._ending:
            self._ask_at = 0.0

    def tick(self, now: float) -> float:
        """Ask for the status if that is due; returns when it will be."""
        if self.over or self._asked:
            return float("inf")
        if now >= self._ask_at:
            self._ask_at = now + self._around.timing.ask_job_every
            self._asked = self._around.requests.ask(
                "control",
                Status(since_seq=self._order.seen, watch=True),
                self._answered,
                self._refused,
                job_id=self._job_id,
            )
            return now
        return self._ask_at

    def drop(self) -> None:
        """The owner wants to hear no more of this job."""
        self._around.requests.forget(self._asked)
        self._around.previews.end(self._job_id)
        self.over = True

    # -- status -------------------------------------------------------------------------------------

    @property
    def _ending(self) -> bool:
        """Whether all that is missing is on its way from the backend's store."""
        return self._result is not None or (self._pose is not None and self._kind == "estimate")

    def _answered(self, reply: Envelope) -> None:
        self._asked = ""
        status = reply.content
        if self.over or not isinstance(status, JobStatus):
            return
        self._order.begin_answer(status.seq)
        for event in status.events:
            content = event.progress or event.notice
            if content is not None:
                self._tell(event.seq, content)
        self._order.end_answer(status.seq)
        self._take_state(status)

    def _refused(self, error: Error) -> None:
        self._asked = ""
        if not self.over:
            self._fail(error)

    def _tell(self, seq: int, content: Progress | Notice) -> None:
        if isinstance(content, Progress):
            if self._order.tell(seq, progress=True):
                self._around.inbox.put(JobProgressed(job_id=self._job_id, progress=content))
        elif self._order.tell(seq, progress=False):
            self._around.inbox.put(JobNoticed(job_id=self._job_id, notice=content))

    def _take_state(self, status: JobStatus) -> None:
        self._kind = status.kind
        if status.pose is not None:
            self._take_pose(status.pose)
        if status.result is not None:
            self._take_result(status.result)
        self._end_estimate()
        if self.over:
            return
        if status.state == "failed":
            self._fail(status.error or _NO_REASON)
        elif status.state == "cancelled":
            self._end()
            self._around.inbox.put(JobEnded(job_id=self._job_id, status=status))
        elif status.state == "done" and not self._ending:
            # A push may leave the result out; the answer to our own question has it.
            self._ask_at = min(self._ask_at, monotonic() + _GAP_PATIENCE)

    # -- ends ---------------------------------------------------------------------------------------

    def _take_pose(self, proposed: PoseProposed) -> None:
        if self._pose is not None:
            return
        self._pose = proposed

        def ready(paths: Mapping[str, Path]) -> None:
            template = unpack_template(paths["body"].read_bytes())
            self._around.inbox.put(
                PoseArrived(job_id=self._job_id, proposed=proposed, template=template)
            )
            self._pose_told = True
            self._end_estimate()

        self._fetch({"body": proposed.body}, ready)

    def _take_result(self, result: Result) -> None:
        if self._result is not None:
            return
        self._result = result

        def ready(paths: Mapping[str, Path]) -> None:
            character = unpack_character(paths["character"].read_bytes())
            files = {name: paths["file " + name] for name in result.files}
            self._end()
            self._around.inbox.put(
                ResultArrived(job_id=self._job_id, result=result, character=character, files=files)
            )

        files = {"file " + name: ref for name, ref in result.files.items()}
        self._fetch({"character": result.character, **files}, ready)

    def _fetch(
        self, refs: Mapping[str, BlobRef], ready: Callable[[Mapping[str, Path]], None]
    ) -> None:
        """Fetch blobs; ``ready`` is called with the files by the same names once all are here."""
        total = sum(ref.size for ref in refs.values())
        done = dict.fromkeys(refs, 0)
        paths: dict[str, Path] = {}

        def ended(name: str, path: Path | None, error: Error | None) -> None:
            if self.over:
                return
            if path is None:
                self._fail(error or _NO_REASON)
                return
            paths[name] = path
            if len(paths) == len(refs):
                try:
                    ready(paths)
                except ProtocolError as problem:
                    self._fail(problem.as_error())
                except OSError as problem:
                    self._fail(_vanished(problem))

        def progressed(name: str, size: int) -> None:
            done[name] = size
            if not self.over:
                transfer = Transfer(
                    job_id=self._job_id, direction="down", done=sum(done.values()), total=total
                )
                self._around.inbox.put(transfer)

        for name, ref in refs.items():
            self._around.downloads.fetch(
                ref,
                partial(progressed, name),
                partial(ended, name),
            )

    def _fail(self, error: Error) -> None:
        self._end()
        self._around.inbox.put(JobFailed(job_id=self._job_id, error=error))

    def _end_estimate(self) -> None:
        if self._pose_told and self._kind == "estimate":
            self._end()

    def _end(self) -> None:
        self.over = True
        self._around.previews.end(self._job_id)


def _vanished(error: OSError) -> Error:
    return Error(
        code="cache_unreadable",
        message=f"A fetched file cannot be read ({error.strerror or type(error).__name__}).",
        hint="Fetch the result again.",
        retryable=True,
    )


_NO_REASON = Error(
    code=INTERNAL,
    message="The job failed, and nobody said why.",
    hint="Look into the backend's log.",
)

"""Answers and pushes: what goes out, to whom, in the name of which session."""

from __future__ import annotations

import time
from dataclasses import dataclass

from backend.service.failures import as_error, is_known
from backend.service.jobs import Job
from backend.service.logs import ServiceLog
from backend.service.rates import TokenBucket
from backend.service.sessions import Line, Session, Sessions
from backend.service.wire import Wire
from backend.service.worker_messages import PreviewMesh
from shared_protocol.arrays import Arrays
from shared_protocol.codec import Envelope, MessageError, error_reply, reply
from shared_protocol.errors import Error, ProtocolError
from shared_protocol.messages import (
    Content,
    JobStatus,
    Notice,
    PoseProposed,
    Preview,
    Progress,
    Result,
)

_REFUSALS_A_SECOND = 50.0


@dataclass(frozen=True)
class Asked:
    """A message whose sender is known, and the line on which the answer goes."""

    line: Line
    route: bytes
    envelope: Envelope
    session: Session

    @property
    def job_id(self) -> str:
        """The job it is about."""
        return self.envelope.job_id


class Post:
    """Sends; a peer that takes nothing loses what it can ask for again, and costs no memory."""

    def __init__(self, wire: Wire, log: ServiceLog) -> None:
        self._wire, self._log = wire, log
        self._refusals = TokenBucket(_REFUSALS_A_SECOND, _REFUSALS_A_SECOND, time.monotonic())

    def answer(self, asked: Asked, content: Content, buffers: Arrays | None = None) -> None:
        """Answer a message."""
        self._send(asked.line, asked.route, reply(asked.envelope, content, buffers))

    def refuse(
        self, line: Line, route: bytes, to: Envelope | MessageError, error: ProtocolError | Error
    ) -> None:
        """Answer with an error; a flood of bad messages is not answered one by one."""
        if self._refusals.take(time.monotonic()):
            self._send(line, route, error_reply(to, error))

    def refuse_asked(self, asked: Asked, error: Exception) -> None:
        """Answer with the error in words; one of ours is logged."""
        self.refuse(asked.line, asked.route, asked.envelope, self.in_words(error))

    def in_words(self, error: Exception) -> Error:
        """Any exception as content of an ``error`` message."""
        if not is_known(error):
            self._log.failure("request_failed", error)
        return as_error(error)

    def welcome(self, line: Line, route: bytes, envelope: Envelope) -> None:
        """Send an answer to a greeting, made by its caller."""
        self._send(line, route, envelope)

    def push(self, session: Session, content: Content, job_id: str = "", seq: int = 0) -> None:
        """Say something unasked, on the control line."""
        route = session.lines.get("control")
        if route is not None:
            told = Envelope(content=content, session=session.id, job_id=job_id, seq=seq)
            self._send("control", route, told)

    def preview(self, session: Session, job: Job, mesh: PreviewMesh, held: str) -> bool:
        """Send a preview on the data line; whether it was taken."""
        route = session.lines.get("data")
        if route is None:
            return False
        content = Preview(
            step=mesh.step,
            topology=mesh.topology,
            vertex_count=len(mesh.vertices),
            face_count=len(mesh.faces),
        )
        buffers = {"vertices": mesh.vertices, "colors": mesh.colors}
        if held != mesh.topology:
            buffers["faces"] = mesh.faces
        job_id = job.record.job_id
        shown = Envelope(content=content, session=session.id, job_id=job_id, buffers=buffers)
        return self._send("data", route, shown)

    def _send(self, line: Line, route: bytes, envelope: Envelope) -> bool:
        try:
            return self._wire.send(line, route, envelope)
        except ProtocolError as error:
            # Ours to mend: a message that the other side could not have read.
            self._log.failure("unsendable", error)
            return False


class Viewers:
    """The dispatcher's audience: sessions that watch, and their credit for previews."""

    def __init__(self, sessions: Sessions, post: Post) -> None:
        self._sessions, self._post = sessions, post
        self._newest: dict[str, PreviewMesh] = {}

    def told(self, job: Job, content: Progress | Notice, seq: int) -> None:
        """Pass it on to everyone who watches."""
        self._tell(job, content, seq)

    def shown(self, job: Job, mesh: PreviewMesh) -> None:
        """Keep it as the newest and show it to whoever has credit."""
        self._newest[job.uid] = mesh
        for session in self._sessions.all():
            self._show(session, job)

    def ended(self, job: Job) -> None:
        """Say how it ended: with its outcome, or with its state where there is none."""
        self._newest.pop(job.uid, None)
        outcome = job.record.outcome
        if isinstance(outcome, PoseProposed | Result):
            self._tell(job, outcome, job.log.seq)
        else:
            self._tell(job, job.status(job.log.seq, 0), job.log.seq)
        for session in self._sessions.all():
            session.credits.pop(job.uid, None)
            session.shown.pop(job.uid, None)

    def resumed(self, job: Job) -> None:
        """Say that it waits again."""
        self._newest.pop(job.uid, None)
        for session in self._sessions.all():
            session.shown.pop(job.uid, None)
        self._tell(job, job.status(job.log.seq, 0), job.log.seq)

    def forgotten(self, uid: str) -> None:
        """A job was deleted."""
        self._newest.pop(uid, None)
        for session in self._sessions.all():
            session.leave(uid)

    def grant(self, session: Session, job: Job, topology: str) -> None:
        """Give a session credit for one preview, and use it at once where there is a newer one."""
        session.credits[job.uid] = topology
        self._show(session, job)

    def _show(self, session: Session, job: Job) -> None:
        mesh, held = self._newest.get(job.uid), session.credits.get(job.uid)
        if mesh is None or held is None or session.shown.get(job.uid) == mesh.step:
            return
        if self._post.preview(session, job, mesh, held):
            del session.credits[job.uid]
            session.shown[job.uid] = mesh.step

    def _tell(
        self,
        job: Job,
        content: Progress | Notice | PoseProposed | Result | JobStatus,
        seq: int,
    ) -> None:
        for session in self._sessions.all():
            if job.uid in session.watched:
                self._post.push(session, content, job.record.job_id, seq)

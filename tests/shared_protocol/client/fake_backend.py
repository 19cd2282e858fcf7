"""A backend that makes nothing: two ROUTERs, blobs in memory, jobs that run by the clock.

Written against docs/protocol.md and shared_protocol alone, so that a mistake of the real service and one
of the client cannot agree with each other. What it knows (:class:`Store`) outlives it, as a job store on
disk would.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import client_samples as samples
import numpy as np
import zmq
from attrs import evolve
from fake_store import FakeJob, Store

from shared_protocol.codec import Envelope, MessageError, decode, encode, error_reply, new_id, reply
from shared_protocol.connection import Connection, write_connection
from shared_protocol.errors import (
    BLOB_MISSING,
    JOB_UNKNOWN,
    NO_SESSION,
    NOT_ALLOWED,
    Error,
    ProtocolError,
)
from shared_protocol.limits import Limits
from shared_protocol.messages import (
    Accepted,
    Bye,
    Cancel,
    Cancelled,
    Chunk,
    ChunkStored,
    Content,
    Estimate,
    FetchChunk,
    Forget,
    Forgotten,
    GrantPreview,
    Hello,
    JobEvent,
    JobList,
    JobStatus,
    JobSummary,
    ListJobs,
    Notice,
    Ping,
    Pong,
    PoseProposed,
    Preview,
    Progress,
    PutChunk,
    Result,
    Status,
    Submit,
    Welcome,
)
from shared_protocol.packing import pack_character, pack_template
from shared_protocol.version import PROTOCOL

TOKEN = "secret-token"
_TICK = 0.005


class FakeBackend:
    """See the module text; a context manager that runs the thread."""

    def __init__(
        self,
        connection_file: Path,
        store: Store | None = None,
        *,
        steps: int = 20,
        step_seconds: float = 0.01,
        limits: Limits | None = None,
        curve: tuple[bytes, bytes] | None = None,
        refuse: Error | None = None,
        protocol: str = PROTOCOL,
        mute: bool = False,
    ) -> None:
        self.store = store or Store()
        self.connection_file = connection_file
        self.control_port = 0
        self.data_port = 0
        self.mute = mute
        self.hellos = 0
        self.received: list[str] = []
        self._steps = steps
        self._step_seconds = step_seconds
        self._limits = limits or Limits()
        self._curve = curve
        self._refuse = refuse
        self._protocol = protocol
        self._sessions: dict[str, dict[str, bytes]] = {}
        self._stop = threading.Event()
        self._bye = True
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FakeBackend:
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self, *, bye: bool = True) -> None:
        """End; without ``bye`` as kill -9 would."""
        self._bye = bye
        self._stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def forget_sessions(self) -> None:
        """As when sessions have expired."""
        self._sessions.clear()

    # -- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        context = zmq.Context()
        self._sockets = {"control": context.socket(zmq.ROUTER), "data": context.socket(zmq.ROUTER)}
        for socket in self._sockets.values():
            socket.linger = 0
            if self._curve is not None:
                socket.curve_server = True
                socket.curve_publickey, socket.curve_secretkey = self._curve
        self.control_port = self._sockets["control"].bind_to_random_port("tcp://127.0.0.1")
        self.data_port = self._sockets["data"].bind_to_random_port("tcp://127.0.0.1")
        self.write_connection(self.control_port, self.data_port)
        self._ready.set()
        poller = zmq.Poller()
        for socket in self._sockets.values():
            poller.register(socket, zmq.POLLIN)
        last = time.monotonic()
        while not self._stop.is_set():
            ready = dict(poller.poll(1000 * _TICK))
            for channel, socket in self._sockets.items():
                if socket in ready:
                    self._take(channel, socket)
            now = time.monotonic()
            if now - last >= self._step_seconds:
                last = now
                for job_id, job in list(self.store.jobs.items()):
                    self._advance(job_id, job)
        if self._bye:
            for session in list(self._sessions):
                self._send("control", session, Envelope(content=Bye(reason="stopped")))
            time.sleep(0.05)
        context.destroy(linger=0)

    def write_connection(self, control: int, data: int) -> None:
        """Announce these ports: our own, or a proxy's."""
        key = "" if self._curve is None else self._curve[0].decode()
        connection = Connection(
            protocol=PROTOCOL,
            control=f"tcp://127.0.0.1:{control}",
            data=f"tcp://127.0.0.1:{data}",
            server_key=key,
            token="" if key else TOKEN,
        )
        write_connection(self.connection_file, connection)

    def _take(self, channel: str, socket: zmq.Socket[bytes]) -> None:
        route, *frames = socket.recv_multipart()
        if self.mute:
            return
        try:
            message = decode(frames, self._limits)
        except MessageError as error:
            socket.send_multipart([route, *encode(error_reply(error, error), self._limits)])
            return
        self.received.append(message.type)
        try:
            answer = self._answer(channel, route, message)
        except ProtocolError as error:
            answer = error_reply(message, error)
        if answer is not None:
            socket.send_multipart([route, *encode(answer, self._limits)])

    def _send(self, channel: str, session: str, envelope: Envelope) -> None:
        route = self._sessions.get(session, {}).get(channel)
        if route is not None:
            message = evolve(envelope, session=session)
            self._sockets[channel].send_multipart([route, *encode(message, self._limits)])

    def _answer(self, channel: str, route: bytes, message: Envelope) -> Envelope | None:
        content = message.content
        if isinstance(content, Hello):
            return self._greet(channel, route, message, content)
        if message.session not in self._sessions:
            raise ProtocolError(NO_SESSION, "This session is not known.")
        self._sessions[message.session][channel] = route
        if channel == "data":
            return self._data(message, content)
        return self._control(message, content)

    def _greet(self, channel: str, route: bytes, message: Envelope, hello: Hello) -> Envelope:
        self.hellos += 1
        if self._refuse is not None:
            return reply(message, self._refuse)
        if self._curve is None and hello.token != TOKEN:
            raise ProtocolError(NOT_ALLOWED, "The token is wrong.")
        session = hello.session if hello.session in self._sessions else ""
        if not session:
            session = new_id()
            self._sessions[session] = {}
        self._sessions[session][channel] = route
        welcome = Welcome(
            session=session,
            server="fake",
            server_version="1",
            protocol=self._protocol,
            limits=self._limits,
            device="cpu",
            memory_mb=1000,
            guidances=("ref-sds", "mirror", "none"),
        )
        return reply(message, welcome)

    def _data(self, message: Envelope, content: Content) -> Envelope | None:
        store = self.store
        if isinstance(content, PutChunk):
            ref = content.blob
            if ref.sha256 in store.blobs:
                return reply(message, ChunkStored(blob=ref, offset=ref.size))
            part = store.parts.setdefault(ref.sha256, bytearray())
            data = message.buffers.get("data")
            if data is not None:
                store.puts += len(data)
                if content.offset == len(part):
                    part += data.tobytes()
            if len(part) == ref.size:
                assert store.keep(bytes(store.parts.pop(ref.sha256))) == ref
                return reply(message, ChunkStored(blob=ref, offset=ref.size))
            return reply(message, ChunkStored(blob=ref, offset=len(part)))
        if isinstance(content, FetchChunk):
            whole = store.blobs.get(content.blob.sha256)
            if whole is None:
                raise ProtocolError(BLOB_MISSING, "There is no such file.")
            data = whole[content.offset : content.offset + content.length]
            store.fetched += len(data)
            chunk = Chunk(blob=content.blob, offset=content.offset)
            return reply(message, chunk, {"data": np.frombuffer(data, np.uint8)})
        assert isinstance(content, GrantPreview)
        job = store.jobs.get(message.job_id)
        if job is not None:
            job.credit[message.session] = content.topology
        return None

    def _control(self, message: Envelope, content: Content) -> Envelope | None:
        jobs, job_id = self.store.jobs, message.job_id
        if isinstance(content, Ping):
            return reply(message, Pong(ready=True, running_jobs=len(jobs), queued_jobs=0))
        if isinstance(content, Bye):
            self._sessions.pop(message.session, None)
            return None
        if isinstance(content, Estimate | Submit):
            return reply(message, self._submit(job_id, content))
        if isinstance(content, ListJobs):
            return reply(message, JobList(jobs=tuple(self._summary(*job) for job in jobs.items())))
        if isinstance(content, Forget):
            gone = [job_id] if job_id else list(jobs)
            number = sum(jobs.pop(each, None) is not None for each in gone)
            return reply(message, Forgotten(jobs=number, bytes=10 * number))
        job = jobs.get(job_id)
        if job is None:
            raise ProtocolError(JOB_UNKNOWN, "There is no such job.")
        if isinstance(content, Cancel):
            outcome: Any = "running" if job.status.state == "running" else "terminal"
            if outcome == "running":
                self._end(job_id, job, state="cancelled")
            return reply(message, Cancelled(outcome=outcome))
        assert isinstance(content, Status)
        if content.watch:
            job.watchers.add(message.session)
        events = tuple(event for event in job.events if event.seq > content.since_seq)
        return reply(message, evolve(job.status, events=events, seq=len(job.events)))

    # -- jobs ---------------------------------------------------------------------------------------

    def _submit(self, job_id: str, request: Estimate | Submit) -> Accepted:
        job = self.store.jobs.get(job_id)
        if job is not None:
            assert job.request == request
            job.submitted += 1
            return Accepted(state=job.status.state)
        if request.photo.sha256 not in self.store.blobs:
            raise ProtocolError(BLOB_MISSING, "The photo is not here.")
        status = JobStatus(
            kind="estimate" if isinstance(request, Estimate) else "generate",
            state="running",
            photo_name=request.photo_name,
            created=1.0,
            seq=0,
        )
        self.store.jobs[job_id] = FakeJob(status=status, request=request, steps=self._steps)
        return Accepted(state="running")

    def _advance(self, job_id: str, job: FakeJob) -> None:
        if job.status.state != "running":
            return
        job.step += 1
        if job.request.photo_name == "bad.png" and job.step == 3:
            error = Error(code="no_person", message="Nobody is in the photo.", hint="Take another.")
            self._end(job_id, job, state="failed", error=error)
            return
        progress = Progress(stage="optimization", step=job.step, total=job.steps, eta=1.0)
        self._log(job_id, job, progress)
        if job.step % 5 == 0:
            self._log(job_id, job, Notice(code=f"note_{job.step}", message="Something to know."))
        self._preview(job_id, job)
        if job.step >= job.steps:
            self._finish(job_id, job)

    def _log(self, job_id: str, job: FakeJob, content: Progress | Notice) -> None:
        seq = len(job.events) + 1
        if isinstance(content, Progress):
            job.events.append(JobEvent(seq=seq, progress=content))
        else:
            job.events.append(JobEvent(seq=seq, notice=content))
        self._push(job_id, job, content, seq)

    def _push(self, job_id: str, job: FakeJob, content: Content, seq: int = 0) -> None:
        for session in job.watchers:
            self._send("control", session, Envelope(content=content, job_id=job_id, seq=seq))

    def _preview(self, job_id: str, job: FakeJob) -> None:
        topology = f"grid{job.step // 8}"
        vertices, faces = preview_mesh(job.step)
        buffers = {"vertices": vertices, "colors": np.full((len(vertices), 3), job.step, np.uint8)}
        preview = Preview(
            step=job.step,
            topology=topology,
            vertex_count=len(vertices),
            face_count=len(faces),
        )
        for session, held in list(job.credit.items()):
            del job.credit[session]
            sent = buffers if held == topology else {**buffers, "faces": faces}
            self.store.previews += 1
            self._send("data", session, Envelope(content=preview, job_id=job_id, buffers=sent))

    def _finish(self, job_id: str, job: FakeJob) -> None:
        if job.status.kind == "estimate":
            pose = PoseProposed(
                pose=samples.POSE,
                camera=samples.CAMERA,
                photo=samples.PHOTO,
                fit=samples.FIT,
                body=self.store.keep(pack_template(samples.template())),
            )
            self._end(job_id, job, state="done", pose=pose)
            self._push(job_id, job, pose)
        else:
            result = Result(
                character=self.store.keep(pack_character(samples.character())),
                files={
                    "character.glb": self.store.keep(b"glb" * 1_000_000),
                    "run.json": self.store.keep(samples.RUN_JSON),
                },
                faces=7,
            )
            self._end(job_id, job, state="done", result=result)
            self._push(job_id, job, result)

    def _end(self, job_id: str, job: FakeJob, **changes: Any) -> None:
        job.status = evolve(job.status, **changes)
        # A push may leave the result out: it waits in the answer to status.
        pushed = evolve(job.status, seq=len(job.events), pose=None, result=None)
        self._push(job_id, job, pushed)

    def _summary(self, job_id: str, job: FakeJob) -> JobSummary:
        status = job.status
        return JobSummary(
            job_id=job_id,
            kind=status.kind,
            state=status.state,
            photo_name=status.photo_name,
            created=status.created,
            expires=2.0,
        )


def preview_mesh(step: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The mesh that the fake backend shows at a step: faces change every eighth step."""
    size = 50 + step // 8
    vertices = np.random.default_rng(step).normal(size=(size, 3)).astype(np.float32)
    faces = np.random.default_rng(step // 8).integers(0, size, size=(80, 3), dtype=np.int32)
    return vertices, faces

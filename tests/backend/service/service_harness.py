"""A server in a thread, and a client that speaks the wire by hand."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zmq
from fake_runner import make_fake_runner

from backend.service.folders import DataFolder
from backend.service.logs import ServiceLog
from backend.service.options import ServeOptions
from backend.service.server import Server
from shared_protocol.codec import Envelope, decode, encode, new_id
from shared_protocol.connection import Connection
from shared_protocol.errors import Error, ProtocolError
from shared_protocol.limits import Limits
from shared_protocol.messages import (
    Accepted,
    BlobRef,
    Bye,
    Cancel,
    Cancelled,
    Chunk,
    ChunkStored,
    Content,
    Estimate,
    FetchChunk,
    Hello,
    JobStatus,
    PutChunk,
    Status,
    Submit,
    Welcome,
)
from shared_protocol.packing import blob_ref
from shared_protocol.version import PROTOCOL

C = TypeVar("C")
PATIENCE = 20.0
PHOTO = b"a photo of a person" * 1000


def options(folder: Path, **changes: Any) -> ServeOptions:
    """Options for a quick server in ``folder``."""
    plain = ServeOptions(data_dir=folder / "data", connection_file=folder / "run" / "backend.json")
    return replace(plain, **{"warm_batch": True, "cancel_grace": 0.6, **changes})


class RunningServer:
    """A server on a thread of its own."""

    def __init__(self, chosen: ServeOptions, make_runner: Any) -> None:
        self.options, self._make_runner = chosen, make_runner
        DataFolder(chosen.data_dir).create()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        if self._error is not None:
            self._thread.join()
            raise self._error

    def _run(self) -> None:
        log = ServiceLog(DataFolder(self.options.data_dir).logs)
        try:
            self.server = Server(self.options, self._make_runner, log)
            self.connection = self.server.connection(1)
            self.server.run(self._ready.set)
        except BaseException as error:
            self._error = error
            self._ready.set()
        finally:
            log.close()

    def stop(self) -> None:
        """Stop and wait; what went wrong inside is raised here."""
        self.server.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def worker_pids(self) -> dict[str, int]:
        """Lane -> process id."""
        return {worker.lane: worker.pid for worker in self.server.workers.all}

    def log_text(self) -> str:
        """Everything that was logged."""
        logs = DataFolder(self.options.data_dir).logs
        return "".join(path.read_text() for path in logs.iterdir())


@contextmanager
def running(chosen: ServeOptions, make_runner: Any = make_fake_runner) -> Iterator[RunningServer]:
    """A server that is stopped at the end."""
    server = RunningServer(chosen, make_runner)
    try:
        yield server
    finally:
        server.stop()


class RawClient:
    """Two DEALERs and patience."""

    def __init__(
        self, connection: Connection, keys: tuple[bytes, bytes] | None = None, hwm: int = 1000
    ) -> None:
        self.connection = connection
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        # A test that fails may leave a client open, and ZeroMQ waits for those at the end of Python.
        weakref.finalize(self, self._context.destroy, 0)
        self.sockets = {}
        for line, address in (("control", connection.control), ("data", connection.data)):
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            socket.rcvhwm = hwm
            if keys is not None:
                socket.curve_publickey, socket.curve_secretkey = keys
                socket.curve_serverkey = connection.server_key.encode()
            socket.connect(address)
            self.sockets[line] = socket
        self.session = ""
        self.patience = PATIENCE
        self.pushed: list[Envelope] = []

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        if self.session and not self._context.closed:
            self.send(Bye())
        self._context.destroy(200)

    def vanish(self) -> None:
        """Go without a word."""
        self._context.destroy(0)

    # -- the wire -----------------------------------------------------------------------------------

    def send(
        self, content: Content, *, line: str = "control", job_id: str = "", **more: Any
    ) -> str:
        """Send; returns the message's id."""
        envelope = Envelope(
            **{"content": content, "session": self.session, "job_id": job_id, **more}
        )
        self.sockets[line].send_multipart(encode(envelope, Limits()))
        return envelope.msg_id

    def receive(self, line: str = "control", seconds: float | None = None) -> Envelope | None:
        """The next message, or None."""
        wait = self.patience if seconds is None else seconds
        if not self.sockets[line].poll(wait * 1000):
            return None
        return decode(self.sockets[line].recv_multipart(), Limits())

    def ask(self, content: Content, kind: type[C], *, line: str = "control", **more: Any) -> C:
        """Send and wait for the reply; an error is raised. Pushes on the way are kept."""
        asked = self.send(content, line=line, **more)
        end = time.monotonic() + self.patience
        while (left := end - time.monotonic()) > 0:
            message = self.receive(line, left)
            if message is None:
                break
            if message.parent_id != asked:
                self.pushed.append(message)
                continue
            if isinstance(message.content, Error):
                raise ProtocolError.of(message.content)
            assert isinstance(message.content, kind), message.content
            return message.content
        raise AssertionError(f"no reply to {type(content).__name__}")

    def hello(self, **changes: Any) -> Welcome:
        """Greet on both lines."""
        fields = {
            "client": "test",
            "client_version": "1",
            "protocol": PROTOCOL,
            "token": self.connection.token,
            **changes,
        }
        welcome = self.ask(Hello(**fields), Welcome, session="")
        self.session = welcome.session
        self.ask(Hello(**{**fields, "session": self.session}), Welcome, line="data")
        return welcome

    def push(self, kind: type[C], job_id: str) -> Envelope:
        """The next push of ``kind`` about a job, kept or new."""
        end = time.monotonic() + self.patience
        while True:
            for message in self.pushed:
                if isinstance(message.content, kind) and message.job_id == job_id:
                    self.pushed.remove(message)
                    return message
            left = end - time.monotonic()
            message = self.receive("control", left) if left > 0 else None
            assert message is not None, f"no {kind.__name__} of {job_id}"
            self.pushed.append(message)

    # -- what clients do ----------------------------------------------------------------------------

    def put(self, data: bytes, chunk: int = 1 << 20) -> BlobRef:
        """Bring a blob up."""
        blob = blob_ref(data)
        offset = self.ask(PutChunk(blob=blob, offset=0), ChunkStored, line="data").offset
        while offset < len(data):
            piece = np.frombuffer(data[offset : offset + chunk], np.uint8)
            told = PutChunk(blob=blob, offset=offset)
            offset = self.ask(told, ChunkStored, line="data", buffers={"data": piece}).offset
        return blob

    def fetch(self, blob: BlobRef) -> bytes:
        """Bring a blob down."""
        data = b""
        while len(data) < blob.size:
            wanted = FetchChunk(blob=blob, offset=len(data), length=1 << 20)
            asked = self.send(wanted, line="data")
            message = self.receive("data")
            assert message is not None
            assert message.parent_id == asked
            if isinstance(message.content, Error):
                raise ProtocolError.of(message.content)
            assert isinstance(message.content, Chunk)
            data += message.buffers["data"].tobytes()
        return data

    def estimate(self, photo: bytes = PHOTO, **fields: Any) -> str:
        """Ask for a pose of a photo that is put first; returns the job id."""
        job_id = new_id()
        request = Estimate(photo=self.put(photo), **{"photo_name": "me.png", **fields})
        self.ask(request, Accepted, job_id=job_id)
        return job_id

    def submit(self, prompt: str = "", job_id: str | None = None, **fields: Any) -> str:
        """Ask for a character of a photo that is put first; returns the job id."""
        return self.submit_photo(PHOTO, job_id, prompt=prompt, **fields)

    def submit_photo(self, photo: bytes, job_id: str | None = None, **fields: Any) -> str:
        """The same for another photo."""
        job_id = job_id or new_id()
        content = Submit(photo=self.put(photo), **{"photo_name": "me.png", **fields})
        self.ask(content, Accepted, job_id=job_id)
        return job_id

    def cancel(self, job_id: str) -> str:
        """The outcome."""
        return self.ask(Cancel(), Cancelled, job_id=job_id).outcome

    def status(self, job_id: str, since_seq: int = 0, *, watch: bool = True) -> JobStatus:
        """Where a job is."""
        return self.ask(Status(since_seq=since_seq, watch=watch), JobStatus, job_id=job_id)

    def until(self, job_id: str, *states: str, step: int = 0) -> JobStatus:
        """Wait until a job has one of the states, and came as far as ``step``."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            status = self.status(job_id)
            steps = [e.progress.step for e in status.events if e.progress is not None]
            if status.state in states and max(steps, default=0) >= step:
                return status
            time.sleep(0.02)
        raise AssertionError(f"{job_id} is {status.state}, not {states}")


def greeted(connection: Connection, **more: Any) -> RawClient:
    """A client that has shaken hands."""
    client = RawClient(connection, **more)
    try:
        client.hello()
    except BaseException:
        client.__exit__()
        raise
    return client

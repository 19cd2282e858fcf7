"""Who takes part in service.py: the server in its own process, and peers that speak the bare protocol."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import zmq

from shared_protocol.client.client import BackendClient
from shared_protocol.client.events import ClientEvent, Connected, JobFailed
from shared_protocol.codec import Envelope, decode, encode
from shared_protocol.connection import read_connection
from shared_protocol.limits import Limits
from shared_protocol.messages import Content, Hello, Welcome
from shared_protocol.version import PROTOCOL

ROOT = Path(__file__).resolve().parents[1]
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class ServerProcess:
    """``humanref serve`` on a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.connection_file = folder / "run" / "backend.json"
        self._output = (folder / "serve.txt").open("w+b")
        command = [sys.executable, "-m", "backend.cli", "serve", "--data-dir", str(folder / "data")]
        command += ["--connection-file", str(self.connection_file)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=self._output, stderr=subprocess.STDOUT
        )

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._output.close()

    def check(self) -> None:
        """Raises SystemExit with its words when it has ended."""
        if self.process.poll() is not None:
            self._output.seek(0)
            raise SystemExit(f"The server ended:\n{self._output.read().decode()}")

    def cpu_seconds(self) -> float | None:
        """CPU time so far of the server and its workers; None where the system does not tell."""
        if not Path("/proc/self/stat").exists():
            return None
        total = 0
        for pid in _tree(self.process.pid):
            fields = _stat(pid)
            total += int(fields[11]) + int(fields[12]) if fields else 0
        return total / _TICKS

    def memory_mb(self) -> float | None:
        """Resident memory of the server itself, without its workers, MiB."""
        status = Path(f"/proc/{self.process.pid}/status")
        if not status.exists():
            return None
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return float(line.split()[1]) / 1024.0
        return None


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the command's name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _tree(root: int) -> list[int]:
    """A process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += [child for child, parent in parents.items() if parent == pid]
    return found


class RawPeer:
    """One DEALER that has said hello, with nothing of the client around it."""

    def __init__(self, connection_file: Path, channel: str, session: str = "") -> None:
        connection = read_connection(connection_file)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        # Small on purpose: a peer that does not read is noticed by the server, not hidden by buffers.
        self._socket.rcvhwm = 1
        self._socket.rcvbuf = 65_536
        self._socket.connect(connection.control if channel == "control" else connection.data)
        hello = Hello(
            client="benchmark",
            client_version="1",
            protocol=PROTOCOL,
            token=connection.token,
            session=session,
        )
        welcome = self.ask(hello)
        assert isinstance(welcome, Welcome), welcome
        self.session = welcome.session
        """Taken up by the other channel's peer."""

    def send(self, content: Content, job_id: str = "") -> str:
        """Send and do not wait; the message's id."""
        session = getattr(self, "session", "")
        envelope = Envelope(content=content, session=session, job_id=job_id)
        self._socket.send_multipart(encode(envelope, Limits()), copy=False)
        return envelope.msg_id

    def ask(self, content: Content, job_id: str = "", seconds: float = 30.0) -> Content:
        """Send and wait for the reply; pushes in between are passed over. Raises TimeoutError."""
        msg_id = self.send(content, job_id)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not self._socket.poll(1000 * left):
                break
            envelope = decode(self._socket.recv_multipart(), Limits())
            if envelope.parent_id == msg_id:
                return envelope.content
        raise TimeoutError(f"No reply to {type(content).__name__}.")

    def close(self) -> None:
        """Leave without a word."""
        self._context.destroy(linger=0)


class Watcher:
    """The real client, and when its events came."""

    def __init__(self, server: ServerProcess, cache: Path) -> None:
        self._server = server
        self.client = BackendClient(
            server.connection_file, client="benchmark", client_version="1", cache_dir=cache
        ).start()

    def until(self, kind: type[ClientEvent], seconds: float, **wanted: Any) -> Any:
        """The next event of ``kind``. Raises SystemExit when it fails or takes longer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._server.check()
            self.client.wait(0.5)
            for event in self.client.poll():
                if isinstance(event, JobFailed):
                    raise SystemExit(f"A job failed: {event.error.message} {event.error.hint}")
                if isinstance(event, kind) and all(
                    getattr(event, name) == value for name, value in wanted.items()
                ):
                    return event
        raise SystemExit(f"No {kind.__name__} within {seconds:.0f} s.")

    def until_warm(self, seconds: float = 180.0) -> None:
        """Until a warm worker waits."""
        while not self.until(Connected, seconds).welcome.ready:
            continue

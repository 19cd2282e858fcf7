"""The client's thread: one loop over sockets, timers and the owner's requests."""

from __future__ import annotations

import socket as sockets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

import zmq

from ..connection import Connection
from ..errors import INTERNAL, Error
from ..messages import Hello, Welcome
from ..version import PROTOCOL
from .cache import BlobCache
from .downloads import Downloads
from .events import Connected, Disconnected
from .follower import Surroundings
from .inbox import Inbox
from .job_request import JobRequest
from .jobs import Jobs
from .keys import KeyPair
from .previews import Previews
from .requests import Requests
from .session import Session
from .timing import Timing

_LONGEST_SLEEP = 3600.0
_STUCK_AFTER = 2
"""A data request that was sent so often in vain makes us doubt the data line."""


class Engine:
    """Everything that lives on the client's thread; the owner only posts commands to it."""

    def __init__(
        self,
        connection: Connection | Path,
        inbox: Inbox,
        *,
        client: str,
        client_version: str,
        cache_dir: Path,
        keys: KeyPair | None,
        cache_bytes: int,
        timing: Timing,
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._hello = Hello(client=client, client_version=client_version, protocol=PROTOCOL)
        self._keys = keys
        self._timing = timing
        self._cache = BlobCache(cache_dir, cache_bytes)
        self._commands: deque[Callable[[Engine], None]] = deque()
        # A pair of plain sockets wakes the poller: unlike a ZeroMQ socket, any thread may write to it.
        self._wake, self._woken = sockets.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._stopping = False

    # -- the owner's threads ------------------------------------------------------------------------

    def post(self, command: Callable[[Engine], None]) -> None:
        """Have ``command`` run on the client's thread, soon."""
        self._commands.append(command)
        self._ring()

    def stop(self) -> None:
        """End :meth:`run`; what was posted before is still sent where the line is up."""
        self._stopping = True
        self._ring()

    def dispose(self) -> None:
        """Free what the constructor took; for an engine that never ran, and after it has run."""
        self._woken.close()
        self._wake.close()

    def _ring(self) -> None:
        # Full: the thread has enough reason to wake up. Closed: it has ended.
        with suppress(OSError):
            self._wake.send(b"!")

    # -- the client's thread ------------------------------------------------------------------------

    def run(self) -> None:
        """The loop; returns after :meth:`stop` with every socket closed."""
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._run(context)
        except Exception as error:
            # The owner must not wait for a thread that is dead; the words are for a bug report.
            self._inbox.put(Disconnected(error=_broken(error), retry_in=None))
            raise
        finally:
            self.dispose()
            context.destroy(linger=None)

    def _run(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        poller = zmq.Poller()
        poller.register(self._woken.fileno(), zmq.POLLIN)
        self._session = Session(
            context,
            poller,
            self._connection,
            self._hello,
            self._keys,
            self._timing,
            on_ready=self._ready,
            on_lost=self._lost,
        )
        self._requests = Requests(self._session.send, self._timing)
        downloads = Downloads(self._requests, self._cache)
        self._previews = Previews(self._session.send, self._inbox, self._timing.resend_after)
        around = Surroundings(self._requests, downloads, self._previews, self._inbox, self._timing)
        self._jobs = Jobs(around)
        self._cache.prune()
        try:
            while not self._stopping:
                until = self._tick()
                wait = min(max(0.0, until - monotonic()), _LONGEST_SLEEP)
                # Rounded up: a wait of less than a millisecond would be a busy loop.
                poller.poll(int(1000 * wait) + (wait > 0))
                self._receive()
            self._run_commands()
            self._tick()
        finally:
            downloads.close()
            self._session.close()

    def _tick(self) -> float:
        now = monotonic()
        # In this order: jobs ask, requests carry it to the line.
        due = [self._session.tick(now), self._jobs.tick(now)]
        if self._session.ready:
            due += [self._requests.tick(now), self._previews.tick(now)]
            if self._requests.stalled("data", _STUCK_AFTER):
                self._session.data_is_stuck(now)
        elif self._session.refusal is not None:
            self._requests.fail_all(self._session.refusal)
        return min(due)

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        self._run_commands()
        now = monotonic()
        for _, envelope in self._session.receive(now):
            if not self._requests.answer(envelope, now):
                self._jobs.pushed(envelope)

    def _run_commands(self) -> None:
        while self._commands:
            self._commands.popleft()(self)

    def _ready(self, welcome: Welcome, first: bool) -> None:
        self._requests.limits = welcome.limits
        if first:
            self._requests.restart()
            self._previews.restart()
            self._jobs.reconnected()
        self._inbox.put(Connected(welcome=welcome))

    def _lost(self, error: Error, retry_in: float | None) -> None:
        self._inbox.put(Disconnected(error=error, retry_in=retry_in))

    # -- commands -----------------------------------------------------------------------------------

    def submit(self, job: JobRequest) -> None:
        """See :meth:`BackendClient.estimate` and :meth:`BackendClient.submit`."""
        self._jobs.submit(job)

    def watch(self, job_id: str, since_seq: int, previews: bool) -> None:
        """See :meth:`BackendClient.watch`."""
        self._jobs.watch(job_id, since_seq, previews)

    def cancel(self, job_id: str) -> None:
        """See :meth:`BackendClient.cancel`."""
        self._jobs.cancel(job_id)

    def list_jobs(self) -> None:
        """See :meth:`BackendClient.list_jobs`."""
        self._jobs.list_jobs()

    def forget(self, job_id: str) -> None:
        """See :meth:`BackendClient.forget`."""
        self._jobs.forget(job_id)

    def reconnect(self) -> None:
        """See :meth:`BackendClient.reconnect`."""
        self._session.reconnect(monotonic())


def _broken(error: Exception) -> Error:
    return Error(
        code=INTERNAL,
        message=f"The client stopped by an error of its own ({type(error).__name__}: {error}).",
        hint="Connect again, and please report this.",
    )

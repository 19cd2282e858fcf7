"""The loop: sockets, workers and disk meet on one thread that never waits for any of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from importlib import metadata

import zmq

from backend.service.archive import Archive, Freed
from backend.service.data_desk import DataDesk
from backend.service.dispatcher import Dispatcher
from backend.service.folders import DataFolder
from backend.service.job_desk import JobDesk
from backend.service.lanes import Failure, Lane, Mailbox
from backend.service.ledger import Ledger
from backend.service.logs import ServiceLog
from backend.service.options import ServeOptions
from backend.service.post import Asked, Post, Viewers
from backend.service.reception import Reception
from backend.service.security import Guard, parse_bind
from backend.service.sessions import Line, Sessions
from backend.service.wire import Arrival, Wire
from backend.service.worker import MakeRunner
from backend.service.workers import Workers
from shared_protocol.connection import Connection
from shared_protocol.errors import MALFORMED, ProtocolError
from shared_protocol.messages import Bye, Ping, Pong
from shared_protocol.version import PROTOCOL

_CONTROL_A_TURN = 64
_DATA_A_TURN = 4
_CHORES_EVERY = 30.0
_RETENTION_EVERY = 3600.0


class Server:
    """One backend. Make it and :meth:`run` it on the same thread; :meth:`stop` from anywhere."""

    def __init__(self, options: ServeOptions, make_runner: MakeRunner, log: ServiceLog) -> None:
        """Open everything; nothing answers before :meth:`run`.

        Raises:
            HumanRefError: ``bind_unusable``, ``bind_failed``, ``keys_missing``, ``clients_missing``,
                ``store_unreadable``.
        """
        self._options, self._log = options, log
        bind = parse_bind(options.bind)
        self._bind = bind
        self._guard = Guard.of(options, bind)
        folder = DataFolder(options.data_dir)
        self._archive = Archive(folder, options.limits, int(options.quota_gb * 1e9))
        # A mistake of ours in one job's affairs must not end the server for everybody.
        self._mailbox = Mailbox(lambda error: log.failure("call_failed", error))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._zap = self._guard.open(self._context)
            self._wire = Wire(self._context, bind, self._guard, options.limits)
        except BaseException:
            self._context.destroy(0)
            self._archive.close()
            self._mailbox.close()
            raise
        self._disk = Lane("disk", self._mailbox)
        self._sessions = Sessions(options)
        self._post = Post(self._wire, log)
        self._viewers = Viewers(self._sessions, self._post)
        self.dispatcher = Dispatcher(
            options, folder, Ledger(self._archive, self._disk, log), log, self._viewers
        )
        self.workers = Workers(
            options,
            make_runner,
            folder.logs / "worker.log",
            log,
            self._mailbox,
            self.dispatcher.hear,
            self.dispatcher.lose,
        )
        self.dispatcher.workers = self.workers
        self._version = metadata.version("humanref")
        self._reception = Reception(
            *(options, self._guard, self._sessions, self._post, self.workers),
            version=self._version,
        )
        self._jobs = JobDesk(
            *(options, self.dispatcher, self._archive, self._disk, self._post, self._viewers),
        )
        self._data = DataDesk(self.dispatcher, self._archive, self._disk, self._post, self._viewers)
        self._poller = zmq.Poller()
        self._data_polled = False
        self._stop_asked = threading.Event()
        now = time.monotonic()
        self._chores_at, self._retention_at, self._busy_at = now, now, now

    def connection(self, pid: int) -> Connection:
        """What clients need to know."""
        ends = self._wire.endpoints
        host = self._options.address
        if not host and self._bind.host in ("0.0.0.0", "::"):
            import socket

            host = socket.gethostname()
        named = {
            line: end if not host else f"tcp://{host}:{end.rpartition(':')[2]}"
            for line, end in ends.items()
        }
        return Connection(
            protocol=PROTOCOL,
            control=named["control"],
            data=named["data"],
            server_key=self._guard.server_key,
            token=self._guard.token,
            # A process id means nothing on the other machines that copies of the file go to.
            pid=pid if self._bind.is_loopback else 0,
            version=self._version,
        )

    def stop(self) -> None:
        """Ask the loop to end: checkpoints are kept, jobs continue next time. From any thread."""
        self._stop_asked.set()
        self._mailbox.post(lambda: None)

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until :meth:`stop`; ``on_ready`` is called when messages are answered."""
        try:
            self.dispatcher.restore(self._archive.load())
            self._archive.clear_strange_folders(set(self.dispatcher.jobs))
            self._poller.register(self._wire.socket("control"), zmq.POLLIN)
            self._poller.register(self._mailbox.fileno(), zmq.POLLIN)
            if self._zap is not None:
                self._poller.register(self._zap, zmq.POLLIN)
            self.dispatcher.run()
            on_ready()
            while not self._stop_asked.is_set():
                self._turn(self._chores())
            self._leave()
        finally:
            self._close()

    # -- the loop -----------------------------------------------------------------------------------

    def _turn(self, wake_at: float) -> None:
        """Wait for something to happen, at most until ``wake_at``, and deal with it."""
        self._poll_data(wanted=not self._data.is_busy)
        wait = max(0.0, wake_at - time.monotonic())
        happened = dict(self._poller.poll(int(wait * 1000.0) + 1))
        if self._zap is not None and self._zap in happened:
            while self._guard.answer():
                pass
        # Control first: a cancel does not wait behind chunks.
        self._receive("control", _CONTROL_A_TURN)
        if self._mailbox.fileno() in happened:
            self._mailbox.drain()
        if self._data_polled and self._wire.socket("data") in happened:
            self._receive("data", _DATA_A_TURN)

    def _poll_data(self, *, wanted: bool) -> None:
        if wanted == self._data_polled:
            return
        if wanted:
            self._poller.register(self._wire.socket("data"), zmq.POLLIN)
        else:
            self._poller.unregister(self._wire.socket("data"))
        self._data_polled = wanted

    def _receive(self, line: Line, most: int) -> None:
        for arrival in self._wire.receive(line, most):
            self._take(arrival)

    def _take(self, arrival: Arrival) -> None:
        asked = self._reception.admit(arrival)
        if asked is None:
            return
        try:
            self._deal_with(asked)
        except Exception as error:
            # One request that goes wrong must not end the server for everybody.
            self._post.refuse_asked(asked, error)

    def _deal_with(self, asked: Asked) -> None:
        content = asked.envelope.content
        if isinstance(content, Ping):
            counts = self.dispatcher.running(), self.dispatcher.queued()
            pong = Pong(ready=self.workers.ready, running_jobs=counts[0], queued_jobs=counts[1])
            self._post.answer(asked, pong)
        elif isinstance(content, Bye):
            self._sessions.close(asked.session)
        elif not (self._jobs.take(asked) if asked.line == "control" else self._data.take(asked)):
            raise ProtocolError(
                MALFORMED,
                f"A {asked.envelope.type} message has no place on the {asked.line} line.",
            )

    # -- chores -------------------------------------------------------------------------------------

    def _chores(self) -> float:
        """Do what is due without anybody asking; returns when there is more."""
        now = time.monotonic()
        due = self.dispatcher.tick(now)
        if self.dispatcher.running() or self.dispatcher.queued():
            self._busy_at = now
        # Connected clients ping: one that was killed keeps nobody up.
        self._busy_at = max([self._busy_at, *(s.heard for s in self._sessions.all())])
        if now >= self._chores_at:
            self._chores_at = now + _CHORES_EVERY
            self._sessions.expire(now)
            if self._guard.server_key:
                self._drop_revoked()
            self.dispatcher.save_dirty()
        if now >= self._retention_at:
            self._retention_at = now + _RETENTION_EVERY
            self._expire()
        idle = self._options.idle_exit_minutes
        if idle is not None:
            idle_at = self._busy_at + idle * 60.0
            if now >= idle_at:
                self._log.event("idle_exit")
                self._stop_asked.set()
            due = min(due, idle_at)
        if self._sessions or self.dispatcher.is_owing:
            due = min(due, self._chores_at)
        return min(due, self._retention_at)

    def _drop_revoked(self) -> None:
        allowed = self._guard.allowed()
        for session in self._sessions.all():
            if session.owner not in allowed:
                self._sessions.close(session)

    def _expire(self) -> None:
        """Delete what has outlived its time."""
        now, ttl = time.time(), self._options.ttl_days
        jobs = self.dispatcher.jobs
        old = [job.uid for job in jobs.values() if job.is_over and job.expires(ttl) <= now]

        def expired(outcome: Freed | Failure) -> None:
            for uid in old:
                self._viewers.forgotten(uid)
            if isinstance(outcome, Failure):
                self._log.failure("not_expired", outcome.error)
            elif outcome.jobs:
                self._log.event("expired", jobs=outcome.jobs, bytes=outcome.bytes)

        if old:
            self.dispatcher.forget(old, expired)
        owners = {job.record.owner for job in jobs.values()}

        def swept(outcome: Failure | None) -> None:
            if isinstance(outcome, Failure):
                self._log.failure("not_expired", outcome.error)

        self._disk.do(lambda: self._archive.expire(owners, ttl), swept)

    # -- the end ------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Keep checkpoints, then say good-bye; still answering while workers finish."""
        self.dispatcher.stop()
        patience = time.monotonic() + self._options.stop_grace + 2.0
        while not self.dispatcher.stopped and time.monotonic() < patience:
            due = min(self.dispatcher.tick(time.monotonic()), patience)
            self._turn(due)
        for session in self._sessions.all():
            self._post.push(session, Bye(reason="The server stops; jobs continue next time."))

    def _write_down_all(self) -> None:
        """What was decided last, and what is decided when that is known."""
        while True:
            self._disk.flush()
            self._mailbox.drain()
            if self._disk.is_idle:
                return

    def _close(self) -> None:
        for worker in self.workers.all:
            worker.kill()
        self._write_down_all()
        self.dispatcher.forget_now()
        self._write_down_all()
        self._disk.close()
        self._archive.close()
        self._wire.close(leave=True)
        if self._zap is not None:
            self._zap.close(0)
        self._context.term()
        self._mailbox.close()

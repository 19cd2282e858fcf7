"""The session: one object that owns the client, the local backend and the jobs, driven by ``tick``.

Nothing of Blender in here: what events mean for the scene is behind :class:`~.scene_side.SceneSide`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ..shared_protocol.client.client import BackendClient
from ..shared_protocol.client.events import (
    ClientEvent,
    Connected,
    Disconnected,
    JobEnded,
    JobFailed,
    JobsForgotten,
    JobsListed,
    PoseArrived,
    PreviewArrived,
    RequestRefused,
    ResultArrived,
)
from ..shared_protocol.client.keys import KeyPair
from .deliveries import Deliveries
from .jobs import Job, JobBook
from .link import Link
from .options import BackendOptions
from .problem import Problem, ProblemError
from .scene_side import SceneSide
from .supervisor import Supervisor

TICK_BUDGET = 0.008
"""Seconds of the main thread that one tick may begin new work in."""

_LIST_EVERY = 2.0
_ANSWER_WITHIN = 1.0
"""Seconds that a Blender which quits waits for the backend's word about its jobs."""


ClientFactory = Callable[[Path, "KeyPair | None"], BackendClient]


class Session:
    """State of the add-on between two draws of its panels.

    Args:
        scene: the scene's side.
        make_client: makes a client (not started) for a connection file and a key pair.
        supervisor: cares for the local backend.
        options: reads the preferences, each time anew.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        scene: SceneSide,
        make_client: ClientFactory,
        supervisor: Supervisor,
        options: Callable[[], BackendOptions],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.book = JobBook()
        self.link = Link()
        self.problem: Problem | None = None
        self.revision = 0
        """Grows with every change that panels should show."""
        self.owns_backend = False
        """Whether the running local backend was started by this add-on."""
        self._scene = scene
        self._make_client = make_client
        self._options = options
        self._clock = clock
        self._client: BackendClient | None = None
        self._events: deque[ClientEvent] = deque()
        self._deliveries = Deliveries(scene)
        self._supervisor = supervisor
        self._followed: set[str] = set()
        self._list_at = 0.0
        self._start_pending = False

    # -- the line -----------------------------------------------------------------------------------

    def log_tail(self) -> str:
        """The end of the local backend's output."""
        return self._supervisor.process.log_tail(40)

    def start_backend(self) -> None:
        """Start the local backend, or attach to the one that runs.

        Raises:
            ProblemError: it was not found or could not be started.
        """
        options = self._options()
        self.problem = None
        if not self._supervisor.alive_elsewhere(options):
            self._supervisor.start(options)
            self._set_link(Link("starting"))
        elif self.link.state not in ("connecting", "connected"):
            self.connect()
            # A killed backend closes its line some milliseconds before its process has ended.
            self._start_pending = True

    def stop_backend(self) -> None:
        """Ask the local backend that we started to end; unfinished jobs go on at its next start."""
        self._supervisor.request_stop(self._options())
        self.disconnect()
        self._set_link(Link("stopping"))

    def connect(self) -> None:
        """Open the line to the backend of the preferences.

        Raises:
            ProblemError: no usable connection file or key, or Blender is offline.
        """
        options = self._options()
        options.connection()
        keys = options.keys()
        self.disconnect()
        self._supervisor.paused = False
        self._client = self._make_client(options.file, keys)
        self._client.start()
        self._set_link(Link("connecting"))

    def disconnect(self) -> None:
        """Close the line; jobs go on without us. It stays closed until asked for."""
        client, self._client = self._client, None
        self._supervisor.paused = True
        self._start_pending = False
        if client is not None:
            client.close()
        self._events.clear()
        self._set_link(Link())

    def close(self) -> None:
        """End everything of ours; a backend that we started stays while it has anybody's jobs."""
        options = self._options()
        busy = self._supervisor.owns(options) and self._backend_is_needed()
        self.disconnect()
        self._supervisor.leave(options, busy=busy)

    @property
    def waiting(self) -> str:
        """Why something that has arrived is not in the scene yet."""
        return self._deliveries.waiting

    # -- requests -----------------------------------------------------------------------------------

    def client(self) -> BackendClient:
        """The line, for a request.

        Raises:
            ProblemError: ``not_connected``.
        """
        if self._client is None or not self.link.connected:
            raise ProblemError(
                "not_connected", "No backend is connected.", "Start one in step 1, Backend."
            )
        return self._client

    def request(self, job: Job, send: Callable[[BackendClient], None]) -> None:
        """Send a new job.

        Raises:
            ProblemError: ``not_connected``.
        """
        send(self.client())
        # What went wrong before is answered by trying again.
        self.problem = None
        self._followed.add(job.job_id)
        self.book.add(job)
        self._touch()

    def cancel(self, job_id: str) -> None:
        """Stop a job.

        Raises:
            ProblemError: ``not_connected``.
        """
        self.client().cancel(job_id)
        job = self.book.get(job_id)
        if job is not None and job.active:
            self.book.change(job_id, state="cancelling", eta=None)
        self._touch()

    def follow(self, job: Job) -> None:
        """Watch a job that the backend has (or finished) already."""
        if self.book.get(job.job_id) is None:
            self.book.add(job)
        self._followed.add(job.job_id)
        if self._client is not None:
            self._client.watch(job.job_id)

    def dismiss_problem(self) -> None:
        """The artist has read it."""
        self.problem = None
        self._touch()

    def report(self, problem: Problem) -> None:
        """Show a problem in the panel and, where there are windows, as a dialog."""
        self.problem = problem
        self._touch()

    # -- the pump -----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Take what has happened and show it; never waits, and begins nothing new after 8 ms."""
        until = self._clock() + TICK_BUDGET
        self._supervise()
        if self._client is not None:
            self._events.extend(self._client.poll())
        preview: PreviewArrived | None = None
        while self._events and self._clock() < until:
            event = self._events.popleft()
            if isinstance(event, PreviewArrived):
                preview = event
                continue
            self._dispatch(event)
        if preview is not None:
            self._preview(preview)
        self._deliver()
        self._look_at_others()

    def resume(self) -> None:
        """Take up what the scenes wait for: after connecting, and after a file was loaded."""
        self._touch()
        if self._client is None:
            return
        for job in self._scene.open_jobs():
            self.follow(job)
        self._client.list_jobs()

    def _dispatch(self, event: ClientEvent) -> None:
        self.book.apply(event)
        self._touch()
        if isinstance(event, Connected):
            self._supervisor.attached()
            self._start_pending = False
            if self.link.state == "refused":
                self.problem = None
            self._set_link(Link("connected", "", event.welcome))
            self.resume()
        elif isinstance(event, Disconnected):
            self._lost(event)
        elif isinstance(event, PoseArrived | ResultArrived):
            self._deliveries.add(event)
        elif isinstance(event, JobFailed):
            self._scene.end(event.job_id)
            self.report(Problem.of(event.error, event.job_id))
        elif isinstance(event, JobEnded):
            self._scene.end(event.job_id)
        elif isinstance(event, JobsForgotten):
            self._deliveries.forget(event.job_id)
        elif isinstance(event, RequestRefused):
            self.report(Problem.of(event.error))

    def _look_at_others(self) -> None:
        """Jobs of another Blender, or of one that died unsaved: the list shows how far they are.

        They are not followed: their results would be downloaded and their previews taken away.
        """
        now = self._clock()
        if self._client is None or not self.link.connected or now < self._list_at:
            return
        if any(job.job_id not in self._followed for job in self.book.active()):
            self._list_at = now + _LIST_EVERY
            self._client.list_jobs()

    def _preview(self, event: PreviewArrived) -> None:
        job = self.book.get(event.job_id)
        # A preview that was under way when its job ended would leave a stray mesh.
        if job is not None and job.active and self._scene.can_preview(event.job_id):
            self._scene.show_preview(event)

    def _deliver(self) -> None:
        try:
            changed = self._deliveries.deliver_one()
        except ProblemError as error:
            self.report(error.problem)
            changed = True
        if self._client is not None and self.link.connected:
            for job_id in self._deliveries.wanted_again():
                self._client.fetch_result(job_id)
        if changed:
            self._touch()

    def _lost(self, event: Disconnected) -> None:
        problem = Problem.of(event.error)
        if event.retry_in is None:
            self._set_link(Link("refused", problem.message, self.link.welcome))
            self.report(problem)
        elif self.link.state != "starting":
            self._set_link(Link("lost", problem.message, self.link.welcome))

    def _backend_is_needed(self) -> bool:
        """Whether the backend must outlive us: another Blender may have jobs there that our book lacks.

        One that does not answer, or whose line was closed with jobs on it, is left to its idle exit.
        """
        if self.link.state in ("starting", "stopping"):
            return False
        if self._client is None or not self.link.connected:
            return True
        for event in self._client.poll():
            self.book.apply(event)
        self._client.list_jobs()
        until = time.monotonic() + _ANSWER_WITHIN
        while (left := until - time.monotonic()) > 0 and self._client.wait(left):
            news = self._client.poll()
            for event in news:
                self.book.apply(event)
            if any(isinstance(event, JobsListed) for event in news):
                return bool(self.book.active())
        return True

    def _supervise(self) -> None:
        if self.link.state == "stopping" and self._supervisor.stopped(self._options()):
            self._set_link(Link())
        if self.link.state == "starting" and (failed := self._supervisor.failure()):
            self._set_link(Link())
            self.report(failed)
        if self._start_pending and self.link.state == "lost":
            self._start_what_was_dying()
        if self._client is None and self._supervisor.time_to_attach(self._options):
            try:
                self.connect()
            except ProblemError as error:
                if self.link.state == "starting":
                    self._set_link(Link())
                    self._supervisor.paused = True
                    self.report(error.problem)

    def _start_what_was_dying(self) -> None:
        if self._supervisor.alive_elsewhere(self._options()):
            return
        self._start_pending = False
        try:
            self.start_backend()
        except ProblemError as error:
            self.report(error.problem)

    def _set_link(self, link: Link) -> None:
        if link != self.link:
            self.link = link
            self.owns_backend = self._supervisor.owns(self._options())
            self._touch()

    def _touch(self) -> None:
        self.revision += 1

"""A session whose clock, client and scene are stand-ins that write down what they are asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from humanref_addon.session.backend_process import BackendProcess
from humanref_addon.session.jobs import Job
from humanref_addon.session.options import BackendOptions
from humanref_addon.session.problem import ProblemError
from humanref_addon.session.session import Session
from humanref_addon.session.supervisor import Supervisor
from humanref_addon.shared_protocol.client import events
from humanref_addon.shared_protocol.connection import Connection, write_connection
from humanref_addon.shared_protocol.limits import Limits
from humanref_addon.shared_protocol.messages import Result, Welcome
from humanref_addon.shared_protocol.version import PROTOCOL

WELCOME = Welcome(
    session="s",
    server="humanref",
    server_version="0.1.0",
    protocol=PROTOCOL,
    limits=Limits(),
    device="cpu: a test",
    memory_mb=1000,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Client:
    """What the session asks of a client, written down."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.asked: list[tuple[str, ...]] = []
        self.on_list: list[Any] = []

    def start(self) -> None:
        self.asked.append(("start",))

    def close(self) -> None:
        self.asked.append(("close",))

    def poll(self) -> list[Any]:
        taken, self.events = self.events, []
        return taken

    def watch(self, job_id: str) -> None:
        self.asked.append(("watch", job_id))

    def cancel(self, job_id: str) -> None:
        self.asked.append(("cancel", job_id))

    def list_jobs(self) -> None:
        self.asked.append(("list_jobs",))
        self.events += self.on_list

    def fetch_result(self, job_id: str) -> None:
        self.asked.append(("fetch_result", job_id))

    def wait(self, timeout: float) -> bool:
        return bool(self.events)


class Scene:
    """A scene's side that writes down what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []
        self.blocked = ""
        self.blocked_jobs: set[str] = set()
        self.waiting: list[Job] = []
        self.broken = False
        self.on_preview: Callable[[], None] = lambda: None

    def obstacle(self, job_id: str) -> str:
        return "elsewhere" if job_id in self.blocked_jobs else self.blocked

    def can_preview(self, _job_id: str) -> bool:
        return not self.blocked

    def show_pose(self, event: events.PoseArrived) -> None:
        self.done.append(("pose", event.job_id))

    def show_preview(self, event: events.PreviewArrived) -> None:
        self.done.append(("preview", event.job_id, str(event.step)))
        self.on_preview()

    def show_result(self, event: events.ResultArrived) -> None:
        if self.broken:
            raise ProblemError("character_invalid", "It does not fit together.")
        self.done.append(("result", event.job_id))

    def end(self, job_id: str) -> None:
        self.done.append(("end", job_id))

    def open_jobs(self) -> list[Job]:
        return self.waiting


class World:
    """A session with everything around it."""

    def __init__(self, folder: Path) -> None:
        self.scene, self.client, self.clock = Scene(), Client(), Clock()
        self.options = BackendOptions(connection_file=folder / "backend.json")
        line = "tcp://127.0.0.1"
        self.connection = Connection(
            protocol=PROTOCOL, control=f"{line}:5000", data=f"{line}:5001", token="t"
        )
        keeper = Supervisor(BackendProcess(folder / "log"), folder / "left.json", self.clock)
        self.keeper = keeper
        self.session = Session(
            self.scene,
            lambda _file, _keys: self.client,
            keeper,
            lambda: self.options,
            self.clock,
        )

    def connected(self) -> "World":
        write_connection(self.options.file, self.connection)
        self.session.tick()
        self.tell(events.Connected(welcome=WELCOME))
        assert self.session.link.connected
        return self

    def tell(self, *news: Any) -> None:
        self.client.events += news
        self.session.tick()


def running(job_id: str = "j") -> Job:
    return Job(job_id, "generate", "a.png", state="running", created=1.0)


def preview(job_id: str, step: int) -> events.PreviewArrived:
    return events.PreviewArrived(
        job_id=job_id,
        step=step,
        topology="t",
        vertices=np.zeros((3, 3), np.float32),
        faces=np.zeros((1, 3), np.int32),
        colors=np.zeros((3, 3), np.uint8),
    )


def result(job_id: str = "j") -> events.ResultArrived:
    told = Result(character=None)
    return events.ResultArrived(job_id=job_id, result=told, character=None)

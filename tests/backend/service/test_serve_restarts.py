"""The server process is stopped, killed and started again; nothing is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from service_harness import PATIENCE, RawClient, greeted, options, running

from backend.errors import HumanRefError
from backend.service.archive import Archive
from backend.service.folders import DataFolder, FolderLock
from shared_protocol.connection import read_connection
from shared_protocol.messages import Bye, Forget, Forgotten, JobList, ListJobs, Ping, Pong, Result

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


class ServerProcess:
    """``serve_fake.py`` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.data, self.file = folder / "data", folder / "run" / "backend.json"
        self._process: subprocess.Popen[str] | None = None
        self._clients: list[RawClient] = []

    def start(self) -> RawClient:
        """Start, wait, and shake hands."""
        script = [sys.executable, str(HERE / "serve_fake.py"), str(self.data), str(self.file)]
        self._process = subprocess.Popen(
            script,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        client = greeted(read_connection(self.file))
        self._clients.append(client)
        return client

    def end(self, number: int) -> int:
        """Send a signal and wait for the end."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(PATIENCE)

    def children(self) -> list[int]:
        """Processes of the server's that compute."""
        assert self._process is not None
        pids = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [
            int(pid)
            for pid in pids.split()
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def close(self) -> None:
        """Whatever happened."""
        for client in self._clients:
            client.vanish()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """Not started yet."""
    made = ServerProcess(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_gentle_stop_keeps_checkpoints_and_jobs_continue(
    process: ServerProcess, number: int
) -> None:
    client = process.start()
    mode = stat.S_IMODE(process.file.stat().st_mode)
    assert mode == 0o600
    job = client.submit("steps=40 pause=0.03")
    waiting = client.submit("steps=1")
    seq = client.until(job, "running", step=4).seq
    assert process.end(number) == 0
    assert not process.file.exists()
    assert any(isinstance(m.content, Bye) for m in iter(lambda: client.receive(seconds=1), None))
    client.vanish()
    with process.start() as again:
        result = again.push(Result, job) if again.status(job).state != "done" else None
        status = again.status(job)
        assert status.state == "done"
        assert status.seq > seq
        told = again.fetch(status.result.files["run.json"]).decode()
        assert int(told.split()[1]) >= 4
        again.until(waiting, "done")
        assert result is None or result.content == status.result


def test_kill_of_the_server_loses_nothing(process: ServerProcess) -> None:
    client = process.start()
    done = client.submit("steps=1")
    kept = client.push(Result, done).content
    job = client.submit("steps=40 pause=0.03 checkpoint")
    waiting = [client.submit(f"steps={n}") for n in (1, 2)]
    before = client.until(job, "running", step=5)
    workers = process.children()
    assert len(workers) == 2
    process.end(signal.SIGKILL)
    client.vanish()
    end = time.monotonic() + 5
    while any(_is_alive(pid) for pid in workers):
        assert time.monotonic() < end, "a worker outlived its server"
        time.sleep(0.02)
    # What the last server left behind is no obstacle.
    assert process.file.exists()
    with process.start() as again:
        status = again.until(job, "done")
        assert status.seq > before.seq
        assert int(again.fetch(status.result.files["run.json"]).decode().split()[1]) >= 5
        for each in waiting:
            again.until(each, "done")
        assert again.status(done).result == kept
        assert len(again.fetch(kept.character)) == kept.character.size


def test_forget_that_waits_for_a_result_is_not_lost_by_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    finish = Archive.finish

    def slowly(*arguments: object) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)
        finish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Archive, "finish", slowly)
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        job = client.submit("steps=1")
        assert begun.wait(PATIENCE)
        client.send(Forget(), job_id=job)
        # Answered after the request before it.
        client.ask(Ping(), Pong)
        server.server.stop()
        threading.Timer(0.3, go_on.set).start()
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        assert client.ask(ListJobs(), JobList).jobs == ()
    blobs = [path for path in (tmp_path / "data" / "blobs").rglob("*") if path.is_file()]
    assert blobs == []


def test_events_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        client.push(Result, client.submit("steps=1"))
    with sqlite3.connect(DataFolder(tmp_path / "data").store) as store:
        store.execute("DROP TABLE events")
    with pytest.raises(HumanRefError) as refused, running(options(tmp_path)):
        pass
    assert refused.value.code == "store_unreadable"


def _newer(folder: Path, *jobs: str) -> None:
    """Have a newer version have written these jobs."""
    with sqlite3.connect(DataFolder(folder / "data").store) as store:
        for job in jobs:
            store.execute("UPDATE jobs SET request=x'80' WHERE job_id=?", (job,))


def _kept(folder: Path) -> set[str]:
    with sqlite3.connect(DataFolder(folder / "data").store) as store:
        return {row[0] for row in store.execute("SELECT job_id FROM jobs")}


def test_jobs_of_a_newer_version_can_be_forgotten(tmp_path: Path) -> None:
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        jobs = [client.submit_photo(f"photo {n}".encode(), prompt=f"steps={n}") for n in (1, 2, 3)]
        for job in jobs:
            client.push(Result, job)
    _newer(tmp_path, *jobs[:2])
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        assert [line.job_id for line in client.ask(ListJobs(), JobList).jobs] == jobs[2:]
        assert _kept(tmp_path) == set(jobs)
        gone = client.ask(Forget(), Forgotten, job_id=jobs[0])
        assert gone.jobs == 1
        assert gone.bytes > 3_000_000
        assert client.ask(Forget(), Forgotten, job_id=jobs[0]).jobs == 0
        assert _kept(tmp_path) == set(jobs[1:])
        assert client.ask(Forget(), Forgotten).jobs == 2
        assert _kept(tmp_path) == set()
    assert not any(path.is_file() for path in (tmp_path / "data" / "blobs").rglob("*"))


def test_jobs_of_a_newer_version_expire(tmp_path: Path) -> None:
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        old, new = (client.submit("steps=1") for _ in range(2))
        for job in (old, new):
            client.push(Result, job)
    _newer(tmp_path, old, new)
    with sqlite3.connect(DataFolder(tmp_path / "data").store) as store:
        store.execute("UPDATE jobs SET ended=ended-8*86400 WHERE job_id=?", (old,))
    with running(options(tmp_path)) as server:
        end = time.monotonic() + 5
        while _kept(tmp_path) != {new}:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert server.alive


def test_job_that_takes_the_server_with_it_every_time_ends(tmp_path: Path) -> None:
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        job = client.submit("steps=1")
        client.push(Result, job)
    with sqlite3.connect(DataFolder(tmp_path / "data").store) as store:
        store.execute("UPDATE jobs SET state='running', attempts=5, outcome_type=NULL")
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        assert client.until(job, "failed").error.code == "worker_died"


def test_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    with FolderLock(folder):
        with pytest.raises(HumanRefError) as refused, FolderLock(folder):
            pass
        assert refused.value.code == "already_running"
    with FolderLock(folder):
        pass


def test_idle_server_leaves(tmp_path: Path) -> None:
    with running(options(tmp_path, idle_exit_minutes=0.5 / 60)) as server:
        with greeted(server.connection) as client:
            client.push(Result, client.submit("steps=30 pause=0.03"))
        end = time.monotonic() + PATIENCE
        while server.alive:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_unreadable_store_is_one_sentence(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    folder.store.write_bytes(b"not a database" * 1000)
    with pytest.raises(HumanRefError) as refused, running(options(tmp_path)):
        pass
    assert refused.value.code == "store_unreadable"


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]
    except FileNotFoundError:
        return False

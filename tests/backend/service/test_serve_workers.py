"""Workers that die, hang, run out of memory or meet our own bugs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_runner import make_broken_runner
from service_harness import RawClient, RunningServer, greeted, options, running

from backend.service.worker_handle import WorkerHandle
from shared_protocol.errors import Error
from shared_protocol.messages import JobStatus, Notice, Result


def _failed(client: RawClient, job: str) -> Error:
    status = client.until(job, "failed")
    pushed = client.push(JobStatus, job)
    while pushed.content.state != "failed":
        pushed = client.push(JobStatus, job)
    assert pushed.content.error == status.error
    assert pushed.seq == status.seq
    assert status.error is not None
    return status.error


def _works(client: RawClient) -> None:
    """The next job runs clean."""
    job = client.submit("steps=2")
    result = client.push(Result, job).content
    assert client.fetch(result.files["run.json"]) == b"from 0 to 2"


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_killed_worker_continues_from_its_checkpoint(
    client: RawClient, server: RunningServer
) -> None:
    job = client.submit("steps=40 pause=0.02 checkpoint")
    client.until(job, "running", step=5)
    os.kill(server.worker_pids()["batch"], signal.SIGKILL)
    result = client.push(Result, job).content
    told = client.fetch(result.files["run.json"]).decode()
    assert told.endswith("to 40")
    assert int(told.split()[1]) >= 5
    assert client.push(Notice, job).content.code == "worker_died"
    numbers = [event.seq for event in client.status(job).events]
    assert numbers == sorted(set(numbers))
    _works(client)


def test_worker_that_dies_without_a_checkpoint_fails_its_job(client: RawClient) -> None:
    error = _failed(client, client.submit("die"))
    assert (error.code, error.retryable) == ("worker_died", True)
    _works(client)


def test_job_that_kills_every_worker_ends(client: RawClient) -> None:
    assert _failed(client, client.submit("die checkpoint")).code == "worker_died"
    _works(client)


def test_killed_estimate_worker_is_replaced(client: RawClient, server: RunningServer) -> None:
    before = server.worker_pids()["interactive"]
    os.kill(before, signal.SIGKILL)
    client.until(client.estimate(), "done")
    assert server.worker_pids()["interactive"] != before


def test_out_of_memory_fails_one_job_and_the_process_is_replaced(
    client: RawClient, server: RunningServer
) -> None:
    _works(client)
    before = server.worker_pids()["batch"]
    error = _failed(client, client.submit("memory"))
    assert (error.code, error.retryable) == ("out_of_memory", True)
    _works(client)
    assert server.worker_pids()["batch"] != before


def test_worker_that_hears_nothing_is_killed_after_its_grace(
    client: RawClient, server: RunningServer
) -> None:
    job = client.submit("steps=1000 pause=0.02 deaf")
    client.until(job, "running", step=1)
    before, start = server.worker_pids()["batch"], time.monotonic()
    assert client.cancel(job) == "running"
    assert client.push(JobStatus, job).content.state == "cancelled"
    assert time.monotonic() - start >= server.options.cancel_grace
    _works(client)
    assert server.worker_pids()["batch"] != before


def test_bug_is_reported_without_its_values(client: RawClient, server: RunningServer) -> None:
    error = _failed(client, client.submit("bug"))
    assert error.code == "internal"
    assert "secret" not in error.message + error.hint
    assert "secret" not in server.log_text()
    assert "_misbehave" in server.log_text()
    _works(client)


def test_errors_name_the_photo_and_no_path(client: RawClient) -> None:
    job = client.estimate(b"unreadable", photo_name="anna.jpg")
    error = _failed(client, job)
    assert error.message == "anna.jpg or anna.jpg is no picture."


def test_full_disk_refuses_an_upload_and_leaves_nothing(
    client: RawClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = set((server.options.data_dir / "blobs").rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(Exception, match="disk is full") as refused:
            client.put(b"a new photo")
    assert refused.value.code == "disk_full"
    assert str(server.options.data_dir) not in str(refused.value)
    assert set((server.options.data_dir / "blobs").rglob("*.part")) <= before
    client.put(b"a new photo")


def test_workers_that_never_start_fail_jobs_instead_of_keeping_them(tmp_path: Path) -> None:
    with running(options(tmp_path), make_broken_runner) as server:
        with greeted(server.connection) as client:
            job = client.submit()
            error = _failed(client, job)
        assert error.code == "worker_died"
        assert "start" in error.message


def test_machine_without_room_for_a_process_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tries = WorkerHandle.__init__, []

    def no_room(*arguments: object) -> None:
        tries.append(1)
        if len(tries) <= 2:
            raise OSError(12, "Cannot allocate memory")
        plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerHandle, "__init__", no_room)
    with running(options(tmp_path)) as server, greeted(server.connection) as client:
        client.until(client.estimate(), "done")
    assert len(tries) >= 3


def test_surplus_workers_start_and_leave(tmp_path: Path) -> None:
    chosen = options(tmp_path, max_jobs=3, warm_batch=False)
    with running(chosen) as server, greeted(server.connection) as client:
        jobs = [client.submit("steps=40 pause=0.03") for _ in range(3)]
        for job in jobs:
            client.until(job, "running", step=1)
        assert sum(w.lane == "batch" for w in server.server.workers.all) == 3
        for job in jobs:
            client.push(Result, job)
        _wait(lambda: not any(w.lane == "batch" for w in server.server.workers.all))

"""A full disk delays; what was made is not lost, and what cannot go on says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from service_harness import PHOTO, RawClient, RunningServer

from backend.service.archive import Archive
from backend.service.folders import DataFolder
from shared_protocol.messages import Forget, Forgotten, JobStatus, Notice, Result


def _full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def _try_again(server: RunningServer) -> None:
    """What the server's chores do twice a minute."""
    server.server._mailbox.post(server.server.dispatcher.save_dirty)


def test_result_waits_for_room_and_is_delivered_then(
    client: RawClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put(PHOTO)
    tries: list[object] = []

    def full(*files: object) -> None:
        tries.append(files)
        _full()

    with monkeypatch.context() as patch:
        patch.setattr("backend.service.blobs.os.replace", full)
        job = client.submit("steps=2")
        while (told := client.push(Notice, job).content).code != "disk_full":
            pass
        assert "waits" in told.message
        assert client.status(job).state == "running"
        assert client.cancel(job) == "terminal"
        _try_again(server)
        _wait(lambda: len(tries) == 2)
        jobs = server.server.dispatcher.jobs.values()
        (mine,) = [each for each in jobs if each.record.job_id == job]
        _wait(lambda: not mine.settling)
    _try_again(server)
    result = client.push(Result, job).content
    assert client.fetch(result.files["run.json"]) == b"from 0 to 2"
    assert len(client.fetch(result.character)) == result.character.size
    notices = [e.notice for e in client.status(job).events if e.notice is not None]
    assert [notice.code for notice in notices] == ["counted", "disk_full"]


def test_result_that_waits_for_room_can_be_forgotten(
    client: RawClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put(PHOTO)
    with monkeypatch.context() as patch:
        patch.setattr("backend.service.blobs.os.replace", _full)
        job = client.submit("steps=2")
        while client.push(Notice, job).content.code != "disk_full":
            pass
        assert client.ask(Forget(), Forgotten, job_id=job).jobs == 1
    assert job not in [j.record.job_id for j in server.server.dispatcher.jobs.values()]


def test_state_that_a_full_disk_refused_is_written_later(
    client: RawClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Archive, "finish", _full)
        job = client.submit("steps=100 pause=0.02")
        client.until(job, "running")
        client.cancel(job)
        client.push(JobStatus, job)
        jobs = server.server.dispatcher.jobs.values()
        (mine,) = [each for each in jobs if each.record.job_id == job]
        _wait(lambda: mine.dirty)
    _try_again(server)
    _wait(lambda: not mine.dirty)


def test_job_with_a_checkpoint_goes_on_when_there_is_room(
    client: RawClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(DataFolder, "has_room", lambda *_: False)
        job = client.submit("steps=3 checkpoint full-once")
        assert client.push(Notice, job).content.code == "disk_full"
        assert client.push(JobStatus, job).content.state == "queued"
        _try_again(server)
        time.sleep(0.1)
        assert client.status(job).state == "queued"
    _try_again(server)
    result = client.push(Result, job).content
    assert client.fetch(result.files["run.json"]) == b"from 1 to 3"


def test_job_that_waits_for_room_can_be_cancelled(
    client: RawClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataFolder, "has_room", lambda *_: False)
    job = client.submit("steps=3 checkpoint full")
    client.push(Notice, job)
    assert client.cancel(job) == "pending"
    assert client.status(job).state == "cancelled"


def test_job_without_a_checkpoint_fails_in_words(client: RawClient) -> None:
    error = client.until(client.submit("steps=3 full"), "failed").error
    assert error is not None
    assert (error.code, error.retryable) == ("disk_full", True)


def test_job_that_fills_the_disk_every_time_ends(client: RawClient, server: RunningServer) -> None:
    job = client.submit("steps=30 checkpoint full")
    end = time.monotonic() + 10
    while (status := client.status(job)).state != "failed":
        assert time.monotonic() < end
        _try_again(server)
        time.sleep(0.05)
    assert status.error is not None
    assert status.error.code == "disk_full"


def test_room_is_a_question_of_bytes(tmp_path: Path) -> None:
    assert DataFolder(tmp_path).has_room(1)
    assert not DataFolder(tmp_path).has_room(1 << 60)
    assert not DataFolder(tmp_path / "nowhere").has_room(1)

"""The client against a backend that makes nothing: the whole way, and what its owner sees."""

from __future__ import annotations

import hashlib
import inspect
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import client_samples as samples
import numpy as np
import pytest
from client_harness import FAST, Owner
from fake_backend import FakeBackend, preview_mesh
from fake_store import Store

from shared_protocol.client.client import BackendClient, new_job_id
from shared_protocol.client.events import (
    Connected,
    Disconnected,
    JobAccepted,
    JobCancelled,
    JobEnded,
    JobFailed,
    JobNoticed,
    JobProgressed,
    JobsForgotten,
    JobsListed,
    PoseArrived,
    PreviewArrived,
    ResultArrived,
    Transfer,
)
from shared_protocol.errors import NOT_ALLOWED, PROTOCOL_MISMATCH, Error
from shared_protocol.limits import Limits
from shared_protocol.messages import Estimate, Submit

PHOTO = np.random.default_rng(1).bytes(3_500_000)

Connect = Callable[..., Owner]


def test_requests_take_every_field_of_their_messages() -> None:
    filled_in_by_the_client = {"photo"}
    for method, message in ((BackendClient.estimate, Estimate), (BackendClient.submit, Submit)):
        fields = {field.name for field in attrs.fields(message)} - filled_in_by_the_client
        parameters = set(inspect.signature(method).parameters)
        assert fields <= parameters
        for field in attrs.fields(message):
            default = inspect.signature(method).parameters[field.name].default
            if field.name == "guidance":
                # A 1.0 message without the field still means mirror; our client always says it.
                assert (default, field.default) == ("ref-sds", "mirror")
            elif field.name not in ("photo", "photo_name", "maps"):
                assert default == field.default


def test_an_estimate_brings_pose_and_body(connect: Connect, connection_file: Path) -> None:
    with FakeBackend(connection_file) as backend:
        owner = connect(connection_file)
        job_id = new_job_id()
        owner.client.estimate(job_id, PHOTO, photo_name="me.png", height_cm=180.0)
        arrived = owner.until(PoseArrived)
        assert arrived.job_id == job_id
        assert arrived.proposed.pose == samples.POSE
        np.testing.assert_array_equal(arrived.template.vertices, samples.template().vertices)
        request = backend.store.jobs[job_id].request
        assert isinstance(request, Estimate)
        assert request.height_cm == 180.0
        assert backend.store.blobs[request.photo.sha256] == PHOTO
        ups = [each for each in owner.of(Transfer) if each.direction == "up"]
        assert ups[-1].done == ups[-1].total == len(PHOTO)


def test_a_character_with_its_files_and_the_mesh_as_it_grows(
    connect: Connect, connection_file: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "me.png"
    photo.write_bytes(PHOTO)
    with FakeBackend(connection_file, steps=40) as backend:
        owner = connect(connection_file)
        job_id = new_job_id()
        owner.client.submit(job_id, photo, maps={"mask": b"mask"}, preset="draft", seed=4)
        result = owner.until(ResultArrived)
        expected = samples.character()
        for name in ("vertices", "faces", "colors", "skin_weights"):
            np.testing.assert_array_equal(getattr(result.character, name), getattr(expected, name))
        assert result.files["character.glb"].read_bytes() == b"glb" * 1_000_000
        assert result.files["run.json"].read_bytes() == samples.RUN_JSON
        request = backend.store.jobs[job_id].request
        assert isinstance(request, Submit)
        assert (request.photo_name, request.preset, request.seed) == ("me.png", "draft", 4)
        assert request.maps.mask is not None
        assert request.maps.mask.sha256 == hashlib.sha256(b"mask").hexdigest()
        steps = [each.progress.step for each in owner.of(JobProgressed)]
        assert steps == sorted(set(steps))
        assert steps[-1] == 40
        codes = [each.notice.code for each in owner.of(JobNoticed)]
        assert codes == [f"note_{step}" for step in range(5, 41, 5)]
        previews = owner.of(PreviewArrived)
        assert len(previews) >= 5
        for preview in previews:
            vertices, faces = preview_mesh(preview.step)
            np.testing.assert_array_equal(preview.vertices, vertices)
            np.testing.assert_array_equal(preview.faces, faces)
            assert (preview.colors == preview.step).all()
        kinds = [type(event) for event in owner.events]
        assert kinds.index(Connected) < kinds.index(JobAccepted) < kinds.index(ResultArrived)
        # After the end nothing more is asked of the job.
        backend.received.clear()
        time.sleep(3 * FAST.ask_job_every)
        assert set(backend.received) == {"ping"}


def test_an_owner_that_does_not_look_finds_the_newest(
    connect: Connect, connection_file: Path
) -> None:
    with FakeBackend(connection_file, steps=60) as backend:
        owner = connect(connection_file)
        job_id = new_job_id()
        owner.client.submit(job_id, PHOTO)
        while not (job := backend.store.jobs.get(job_id)) or job.status.state == "running":
            time.sleep(0.05)
        time.sleep(0.5)
        owner.until(ResultArrived)
        assert len(owner.of(JobProgressed)) == 1
        assert len(owner.of(PreviewArrived)) == 1
        assert owner.of(JobProgressed)[0].progress.step == 60
        assert owner.of(PreviewArrived)[0].step >= 50
        assert len(owner.of(JobNoticed)) == 12


def test_what_is_in_the_cache_is_not_fetched_again(
    connect: Connect, connection_file: Path, tmp_path: Path
) -> None:
    store = Store()
    with FakeBackend(connection_file, store):
        owner = connect(connection_file)
        job_id = new_job_id()
        owner.client.submit(job_id, PHOTO)
        owner.until(ResultArrived)
        fetched = store.fetched
        assert fetched > 3_000_000
        owner.client.close()
        second = connect(connection_file)
        second.client.fetch_result(job_id)
        second.until(ResultArrived)
        assert store.fetched == fetched
        # A second job of the same photo sends nothing again, either.
        puts = store.puts
        second.client.estimate(new_job_id(), PHOTO)
        second.until(PoseArrived)
        assert store.puts == puts
        # What is forgotten over there is forgotten here.
        second.client.forget(job_id)
        second.until(JobsForgotten)
        second.client.close()
        assert list((tmp_path / "cache").iterdir()) == []


def test_errors_arrive_with_code_message_and_hint(
    connect: Connect, connection_file: Path, tmp_path: Path
) -> None:
    with FakeBackend(connection_file):
        owner = connect(connection_file)
        bad, missing, unknown = new_job_id(), new_job_id(), new_job_id()
        owner.client.submit(bad, PHOTO, photo_name="bad.png")
        owner.client.submit(missing, tmp_path / "missing.png")
        owner.client.watch(unknown)
        error = owner.until(JobFailed, job_id=bad).error
        assert (error.code, error.hint) == ("no_person", "Take another.")
        assert owner.until(JobFailed, job_id=missing).error.code == "photo_unreadable"
        assert owner.until(JobFailed, job_id=unknown).error.code == "job_unknown"


def test_limits_of_the_backend_are_kept(connect: Connect, connection_file: Path) -> None:
    limits = Limits(chunk_bytes=100_000, blob_bytes=1_000_000)
    with FakeBackend(connection_file, limits=limits) as backend:
        owner = connect(connection_file)
        owner.until(Connected)
        large, small = new_job_id(), new_job_id()
        owner.client.submit(large, PHOTO)
        owner.client.estimate(small, PHOTO[:950_000])
        error = owner.until(JobFailed).error
        assert (error.code, error.hint) == ("too_large", "Make the picture smaller.")
        assert owner.until(PoseArrived).job_id == small
        assert (
            backend.store.blobs[backend.store.jobs[small].request.photo.sha256] == PHOTO[:950_000]
        )


def test_cancel_list_and_forget(connect: Connect, connection_file: Path) -> None:
    with FakeBackend(connection_file, steps=10_000):
        owner = connect(connection_file)
        job_id = new_job_id()
        owner.client.submit(job_id, PHOTO, photo_name="me.png")
        owner.until(JobProgressed)
        owner.client.cancel(job_id)
        assert owner.until(JobCancelled).outcome == "running"
        assert owner.until(JobEnded).status.state == "cancelled"
        owner.client.cancel(job_id)
        assert owner.until(JobCancelled, outcome="terminal").job_id == job_id
        owner.client.cancel("nobody-knows-it")
        assert owner.until(JobCancelled, outcome="unknown").job_id == "nobody-knows-it"
        owner.client.list_jobs()
        assert [job.job_id for job in owner.until(JobsListed).jobs] == [job_id]
        owner.client.forget(job_id)
        assert owner.until(JobsForgotten) == JobsForgotten(job_id=job_id, jobs=1, bytes=10)
        assert len(owner.of(JobEnded)) == 1


def test_the_end_of_a_cancelled_job_is_told_to_who_never_watched_it(
    connect: Connect, connection_file: Path
) -> None:
    with FakeBackend(connection_file, steps=10_000):
        first = connect(connection_file)
        job_id = new_job_id()
        first.client.submit(job_id, PHOTO)
        first.until(JobProgressed)
        first.client.close()
        second = connect(connection_file)
        second.client.cancel(job_id)
        assert second.until(JobEnded).job_id == job_id


def test_a_job_that_never_left_is_cancelled_here(connect: Connect, connection_file: Path) -> None:
    owner = connect(connection_file)
    job_id = new_job_id()
    owner.client.submit(job_id, PHOTO)
    owner.client.cancel(job_id)
    assert owner.until(JobCancelled).outcome == "pending"
    assert owner.until(JobEnded).status.state == "cancelled"
    with FakeBackend(connection_file) as backend:
        owner.until(Connected)
        time.sleep(0.3)
        assert not backend.store.jobs
        assert backend.store.puts == 0


@pytest.mark.parametrize("code", [PROTOCOL_MISMATCH, NOT_ALLOWED])
def test_a_refusal_is_final_until_the_owner_tries_again(
    connect: Connect, connection_file: Path, code: str
) -> None:
    refuse = Error(code=code, message="No.", hint="Because.")
    with FakeBackend(connection_file, refuse=refuse) as backend:
        owner = connect(connection_file)
        lost = owner.until(Disconnected)
        assert (lost.error, lost.retry_in) == (refuse, None)
        job_id = new_job_id()
        owner.client.submit(job_id, PHOTO)
        assert owner.until(JobFailed).error == refuse
        hellos = backend.hellos
        time.sleep(0.5)
        assert backend.hellos == hellos
    with FakeBackend(connection_file):
        owner.client.reconnect()
        owner.until(Connected)


def test_a_backend_of_another_major_version_is_refused(
    connect: Connect, connection_file: Path
) -> None:
    with FakeBackend(connection_file):
        text = connection_file.read_text()
        connection_file.write_text(text.replace('"1.0"', '"2.0"'))
        lost = connect(connection_file).until(Disconnected)
        assert lost.error.code == PROTOCOL_MISMATCH
        assert lost.retry_in is None
        assert "2.0" in lost.error.message


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="needs a thread's clock")
def test_idle_it_only_pings(connect: Connect, connection_file: Path) -> None:
    with FakeBackend(connection_file) as backend:
        owner = connect(connection_file)
        owner.until(Connected)
        backend.received.clear()
        (thread,) = [each for each in threading.enumerate() if each.name == "humanref-client"]
        assert thread.ident is not None
        clock = time.pthread_getcpuclockid(thread.ident)
        before = time.clock_gettime(clock)
        time.sleep(1.0)
        # With twenty times as many heartbeats as usual, and far from a busy loop.
        assert time.clock_gettime(clock) - before < 0.1
        assert set(backend.received) == {"ping"}
        assert 6 <= len(backend.received) <= 11
        assert owner.of(Disconnected) == []


def test_close_ends_the_thread_in_every_state(connect: Connect, connection_file: Path) -> None:
    never_connected = connect(connection_file)
    assert never_connected.client.close(1.0)
    with FakeBackend(connection_file, mute=True):
        greeting = connect(connection_file)
        time.sleep(0.2)
        assert greeting.client.close(1.0)
    with FakeBackend(connection_file) as backend:
        busy = connect(connection_file)
        busy.client.submit(new_job_id(), PHOTO)
        busy.until(JobAccepted)
        assert busy.client.close(1.0)
        assert busy.client.close(1.0)
        end = time.monotonic() + 2.0
        while "bye" not in backend.received and time.monotonic() < end:
            time.sleep(0.02)
        assert "bye" in backend.received
        busy.client.list_jobs()
    not_started = BackendClient(
        connection_file, client="test", client_version="1", cache_dir=connection_file.parent
    )
    assert not_started.close()

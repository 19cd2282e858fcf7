"""Bad lines, dying clients and restarted backends: nothing is lost, and the result is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import client_samples as samples
import numpy as np
import pytest
from client_harness import FAST, Owner
from fake_backend import FakeBackend, preview_mesh
from fake_store import Store
from fault_proxy import FaultProxy, Faults

from shared_protocol.client.client import new_job_id
from shared_protocol.client.events import (
    Connected,
    Disconnected,
    JobAccepted,
    JobNoticed,
    JobProgressed,
    PreviewArrived,
    ResultArrived,
)
from shared_protocol.messages import Notice

PHOTO = np.random.default_rng(1).bytes(3_500_000)
STEPS = 80
NOTE_10 = Notice(code="note_10", message="Something to know.")

Connect = Callable[..., Owner]

FAULTS = {
    "drop": Faults(drop=0.15),
    "delay": Faults(delay=0.5, longest_delay=0.3),
    "duplicate": Faults(duplicate=0.5),
    "cut": Faults(cut_every=0.7),
    "everything": Faults(drop=0.08, duplicate=0.2, delay=0.3, longest_delay=0.2, cut_every=1.0),
}


def check_character(owner: Owner, result: ResultArrived, *, again: bool = False) -> None:
    """The result is the one that was made, and every notice came once (``again``: or twice)."""
    np.testing.assert_array_equal(result.character.vertices, samples.character().vertices)
    np.testing.assert_array_equal(result.character.faces, samples.character().faces)
    assert result.files["character.glb"].read_bytes() == b"glb" * 1_000_000
    assert len(owner.of(ResultArrived)) == 1
    codes = [each.notice.code for each in owner.of(JobNoticed)]
    assert set(codes) == {f"note_{step}" for step in range(5, STEPS + 1, 5)}
    steps = [each.progress.step for each in owner.of(JobProgressed)]
    if not again:
        assert len(codes) == len(set(codes))
        assert steps == sorted(set(steps))
    assert steps[-1] == STEPS
    for preview in owner.of(PreviewArrived):
        vertices, faces = preview_mesh(preview.step)
        np.testing.assert_array_equal(preview.vertices, vertices)
        np.testing.assert_array_equal(preview.faces, faces)


@pytest.mark.parametrize(("name", "seed"), [*((name, 1) for name in FAULTS), ("everything", 2)])
def test_a_bad_line_loses_nothing(
    connect: Connect, connection_file: Path, name: str, seed: int
) -> None:
    with (
        FakeBackend(connection_file, steps=STEPS) as backend,
        FaultProxy(lambda: backend.control_port, FAULTS[name], seed) as control,
        FaultProxy(lambda: backend.data_port, FAULTS[name], seed + 100) as data,
    ):
        backend.write_connection(control.port, data.port)
        owner = connect(connection_file)
        job_id = new_job_id()
        owner.client.submit(job_id, PHOTO, photo_name="me.png")
        check_character(owner, owner.until(ResultArrived, seconds=40))
        job = backend.store.jobs[job_id]
        assert backend.store.blobs[job.request.photo.sha256] == PHOTO
        counted = {"drop": "dropped", "delay": "delayed", "duplicate": "doubled", "cut": "cut"}
        for fault, count in counted.items():
            if name in (fault, "everything"):
                assert control.counts[count] + data.counts[count] > 0


@pytest.mark.parametrize("bye", [True, False])
def test_a_restarted_backend_is_found_at_its_new_ports(
    connect: Connect, connection_file: Path, bye: bool
) -> None:
    store = Store()
    first = FakeBackend(connection_file, store, steps=STEPS)
    with first:
        owner = connect(connection_file)
        owner.client.submit(new_job_id(), PHOTO)
        owner.until(JobNoticed, notice=NOTE_10)
        first.stop(bye=bye)
    assert owner.until(Disconnected).retry_in is not None
    # The log's end is lost with the backend: steps and numbers come a second time.
    job = next(iter(store.jobs.values()))
    del job.events[-3:]
    while (progress := job.events[-1].progress) is None or progress.step % 5 == 0:
        del job.events[-1]
    job.step = progress.step
    with FakeBackend(connection_file, store, steps=STEPS):
        check_character(owner, owner.until(ResultArrived), again=True)


def test_a_request_of_the_time_without_a_backend_is_sent_when_it_comes(
    connect: Connect, connection_file: Path
) -> None:
    owner = connect(connection_file)
    owner.client.submit(new_job_id(), PHOTO)
    assert owner.until(Disconnected).error.code == "no_backend"
    with FakeBackend(connection_file):
        owner.until(ResultArrived)


def test_a_silent_backend_is_noticed_and_a_long_silence_survived(
    connect: Connect, connection_file: Path
) -> None:
    with FakeBackend(connection_file) as backend:
        owner = connect(connection_file)
        owner.until(Connected)
        backend.mute = True
        start = time.monotonic()
        owner.until(Disconnected)
        assert time.monotonic() - start < FAST.silent_after + 0.5
        backend.mute = False
        owner.events.clear()
        owner.client.submit(new_job_id(), PHOTO)
        owner.until(ResultArrived)


def test_a_data_line_that_hangs_is_made_anew(connect: Connect, connection_file: Path) -> None:
    with (
        FakeBackend(connection_file, steps=STEPS) as backend,
        FaultProxy(lambda: backend.data_port, Faults(), 1) as data,
    ):
        backend.write_connection(backend.control_port, data.port)
        owner = connect(connection_file)
        owner.client.submit(new_job_id(), PHOTO)
        owner.until(JobAccepted)
        data.stalled.set()
        owner.until(Disconnected)
        data.stalled.clear()
        owner.until(ResultArrived)


def test_an_expired_session_is_no_interruption(connect: Connect, connection_file: Path) -> None:
    with FakeBackend(connection_file, steps=STEPS) as backend:
        owner = connect(connection_file)
        owner.client.submit(new_job_id(), PHOTO)
        owner.until(JobProgressed)
        backend.forget_sessions()
        check_character(owner, owner.until(ResultArrived))
        assert owner.of(Disconnected) == []


_OTHER_PROCESS = """
import sys, time
from pathlib import Path
from shared_protocol.client.client import BackendClient
from shared_protocol.client.events import JobProgressed
client = BackendClient(
    Path(sys.argv[1]), client="doomed", client_version="1", cache_dir=Path(sys.argv[2])
).start()
client.submit(sys.argv[3], b"p" * 2_000_000)
while True:
    client.wait(5)
    if any(isinstance(event, JobProgressed) for event in client.poll()):
        print("running", flush=True)
        time.sleep(60)
"""


def test_a_killed_client_is_followed_by_a_new_one(
    connect: Connect, connection_file: Path, tmp_path: Path
) -> None:
    job_id = new_job_id()
    with FakeBackend(connection_file, steps=STEPS, step_seconds=0.03):
        process = subprocess.Popen(
            [sys.executable, "-c", _OTHER_PROCESS, connection_file, tmp_path / "cache", job_id],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"running\n"
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        owner = connect(connection_file)
        owner.client.watch(job_id)
        check_character(owner, owner.until(ResultArrived))
        assert owner.of(PreviewArrived)


def test_a_half_fetched_file_goes_on_where_it_was(
    connect: Connect, connection_file: Path, tmp_path: Path
) -> None:
    store = Store()
    with FakeBackend(connection_file, store):
        owner = connect(connection_file)
        job_id = new_job_id()
        owner.client.submit(job_id, PHOTO)
        result = owner.until(ResultArrived).result
    whole = sum(ref.size for ref in (result.character, *result.files.values()))
    assert store.fetched == whole
    character = tmp_path / "cache" / result.character.sha256
    beginning = character.read_bytes()[:2_000_000]
    glb = tmp_path / "cache" / result.files["character.glb"].sha256
    for damaged in (False, True):
        store.fetched = 0
        character.unlink()
        start = bytes(len(beginning)) if damaged else beginning
        character.with_name(character.name + ".part").write_bytes(start)
        # A whole file that was spoiled on disk is noticed as well.
        glb.write_bytes(b"x" * glb.stat().st_size)
        with FakeBackend(connection_file, store):
            again = connect(connection_file)
            again.client.fetch_result(job_id)
            arrived = again.until(ResultArrived)
        np.testing.assert_array_equal(arrived.character.vertices, samples.character().vertices)
        assert arrived.files["character.glb"].read_bytes() == b"glb" * 1_000_000
        rest = result.character.size - len(beginning)
        if damaged:
            rest += result.character.size
        assert store.fetched == rest + 3_000_000

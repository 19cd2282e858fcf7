"""The real client at the real service, over bad lines and restarts: nothing lost, the same result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import client_samples as samples
import numpy as np
import pytest
import zmq.auth
from attrs import evolve
from client_harness import FAST, Owner
from fault_proxy import FaultProxy, Faults
from person_runner import GLB, NOTE_EVERY, STEPS, make_person_runner, preview_of
from service_harness import RunningServer, options, running

from backend.service.keys import allow_client, make_pair
from backend.service.options import ServeOptions
from shared_protocol.client.client import BackendClient, new_job_id
from shared_protocol.client.events import (
    Connected,
    Disconnected,
    JobAccepted,
    JobCancelled,
    JobEnded,
    JobNoticed,
    JobProgressed,
    JobsForgotten,
    JobsListed,
    PoseArrived,
    PreviewArrived,
    ResultArrived,
)
from shared_protocol.client.keys import read_key_pair
from shared_protocol.connection import Connection, read_connection, write_connection
from shared_protocol.errors import NOT_ALLOWED
from shared_protocol.messages import Notice

PHOTO = np.random.default_rng(1).bytes(3_500_000)

Connect = Callable[..., Owner]

FAULTS = {
    "drop": Faults(drop=0.1),
    "delay": Faults(delay=0.5, longest_delay=0.3),
    "duplicate": Faults(duplicate=0.5),
    "cut": Faults(cut_every=0.8),
}


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Makes clients that are closed when the test is over."""
    clients: list[BackendClient] = []

    def make(connection: Path | Connection, cache: str = "cache", **more: Any) -> Owner:
        client = BackendClient(
            connection,
            client="test",
            client_version="1",
            cache_dir=tmp_path / cache,
            timing=FAST,
            **more,
        )
        clients.append(client.start())
        return Owner(client, [])

    yield make
    assert [client for client in clients if not client.close()] == []


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A service whose worker makes real documents."""
    with announced(options(tmp_path_factory.mktemp("service"))) as made:
        yield made


@contextmanager
def announced(chosen: ServeOptions) -> Iterator[RunningServer]:
    """A service and, as long as it runs, its connection file."""
    with running(chosen, make_person_runner) as made:
        write_connection(chosen.connection_file, made.connection)
        try:
            yield made
        finally:
            chosen.connection_file.unlink()


def check_character(owner: Owner, result: ResultArrived) -> None:
    """Everything the worker made and said is there, once."""
    np.testing.assert_array_equal(result.character.vertices, samples.character().vertices)
    assert result.files["character.glb"].read_bytes() == GLB
    assert result.files["run.json"].read_bytes() == samples.RUN_JSON
    codes = [each.notice.code for each in owner.of(JobNoticed)]
    assert sorted(codes) == sorted(f"note_{n}" for n in range(NOTE_EVERY, STEPS + 1, NOTE_EVERY))
    steps = [each.progress.step for each in owner.of(JobProgressed)]
    assert steps == sorted(steps)
    assert steps[-1] == STEPS
    for preview in owner.of(PreviewArrived):
        expected = preview_of(preview.step)
        np.testing.assert_array_equal(preview.vertices, expected.vertices)
        np.testing.assert_array_equal(preview.faces, expected.faces)
    assert len(owner.of(ResultArrived)) == 1


def test_estimate_then_generate_cancel_list_forget(
    service: RunningServer, connect: Connect
) -> None:
    owner = connect(service.options.connection_file)
    first, second, third = new_job_id(), new_job_id(), new_job_id()
    owner.client.estimate(first, PHOTO, photo_name="me.png")
    arrived = owner.until(PoseArrived)
    assert arrived.proposed.pose == samples.POSE
    np.testing.assert_array_equal(arrived.template.vertices, samples.template().vertices)
    owner.client.submit(second, PHOTO, photo_name="me.png", pose=samples.POSE)
    owner.until(PreviewArrived)
    owner.client.submit(third, PHOTO, photo_name="me.png")
    owner.until(JobAccepted, job_id=third)
    owner.client.cancel(third)
    assert owner.until(JobCancelled, job_id=third).outcome == "pending"
    assert owner.until(JobEnded, job_id=third).status.state == "cancelled"
    check_character(owner, owner.until(ResultArrived))
    assert len(owner.of(PreviewArrived)) >= 5
    owner.client.list_jobs()
    assert [job.job_id for job in owner.until(JobsListed).jobs] == [third, second, first]
    owner.client.forget()
    assert owner.until(JobsForgotten).jobs == 3


@pytest.mark.parametrize("name", FAULTS)
def test_over_a_bad_line(
    service: RunningServer, connect: Connect, tmp_path: Path, name: str
) -> None:
    def port(address: str) -> int:
        return int(address.rpartition(":")[2])

    direct = service.connection
    with (
        FaultProxy(lambda: port(direct.control), FAULTS[name], 1) as control,
        FaultProxy(lambda: port(direct.data), FAULTS[name], 2) as data,
    ):
        bad: Any = evolve(
            direct,
            control=f"tcp://127.0.0.1:{control.port}",
            data=f"tcp://127.0.0.1:{data.port}",
        )
        write_connection(tmp_path / "run" / "bad.json", bad)
        owner = connect(tmp_path / "run" / "bad.json")
        owner.client.submit(new_job_id(), PHOTO + name.encode(), photo_name="me.png")
        check_character(owner, owner.until(ResultArrived, seconds=60))


def test_a_restarted_service_goes_on(connect: Connect, tmp_path: Path) -> None:
    chosen = options(tmp_path / "again")
    with announced(chosen):
        owner = connect(chosen.connection_file)
        owner.client.submit(new_job_id(), PHOTO, photo_name="me.png")
        owner.until(JobNoticed, notice=Notice(code="note_20", message="Something to know."))
    owner.until(Disconnected)
    with announced(chosen):
        result = owner.until(ResultArrived, seconds=60)
        assert len(owner.of(Connected)) >= 2
    assert result.files["character.glb"].read_bytes() == GLB
    # What was stopped goes on from its checkpoint: no step is told twice, and none of the notices.
    check_character(owner, result)


def test_keys_decide_who_may_come_in(connect: Connect, tmp_path: Path) -> None:
    chosen = options(tmp_path / "locked", curve=True)
    make_pair(chosen.keys, "server")
    for name in ("friend", "stranger"):
        make_pair(tmp_path / "own", name)
    allow_client(chosen.keys, tmp_path / "own" / "friend.key")
    with announced(chosen):
        friend = connect(
            chosen.connection_file, keys=read_key_pair(tmp_path / "own" / "friend.key_secret")
        )
        friend.client.submit(new_job_id(), PHOTO, photo_name="me.png")
        check_character(friend, friend.until(ResultArrived))
        refused = {
            "stranger": read_key_pair(tmp_path / "own" / "stranger.key_secret"),
            "nobody": None,
        }
        for name, keys in refused.items():
            lost = connect(chosen.connection_file, keys=keys).until(Disconnected)
            assert (lost.error.code, lost.retry_in) == (NOT_ALLOWED, None), name
        connection = read_connection(chosen.connection_file)
        other = make_pair(tmp_path / "own", "other")[0]
        old = evolve(connection, server_key=zmq.auth.load_certificate(other)[0].decode())
        lost = connect(old, keys=refused["stranger"]).until(Disconnected)
        assert "keys" in lost.error.hint


def test_two_clients_see_the_same_job(service: RunningServer, connect: Connect) -> None:
    one = connect(service.options.connection_file)
    two = connect(service.options.connection_file, "cache-2")
    job_id = new_job_id()
    one.client.submit(job_id, PHOTO, photo_name="me.png")
    one.until(JobProgressed)
    two.client.watch(job_id)
    check_character(one, one.until(ResultArrived))
    check_character(two, two.until(ResultArrived))

"""generate and estimate at a server: the files of a run here, and every way it can go wrong."""

from __future__ import annotations

import json
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
import trimesh
from fake_backend import FakeBackend
from fake_store import Store

from backend.cli.server_run import StageEvents
from backend.events import Event, StageFinished, StageStarted, Step
from backend.fitting.pose_file import read_pose
from shared_protocol.client.events import Transfer
from shared_protocol.messages import Estimate, Progress, Submit

Command = Callable[..., "object"]


@pytest.fixture
def connection(tmp_path: Path) -> Path:
    """Where the server of this test announces itself."""
    return tmp_path / "run" / "backend.json"


def test_generate_writes_what_the_server_made(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path
) -> None:
    folder = tmp_path / "out"
    with FakeBackend(connection) as backend:
        ended = humanref(
            *("generate", portrait, "-o", folder / "me.glb", "--artifacts", folder / "all"),
            *("--server", connection, "--preset", "draft", "--seed", 3, "--faces", 5000),
            *("--caption", "a person", "--mask", portrait, "--height-cm", 160),
        )
        assert ended.code == 0, ended.err
        (job,) = backend.store.jobs.values()
    request = job.request
    assert isinstance(request, Submit)
    assert (request.preset, request.seed, request.faces) == ("draft", 3, 5000)
    assert request.guidance == "ref-sds"
    assert (request.prompt, request.height_cm) == ("a person", 160.0)
    assert request.maps.mask == request.photo
    assert (folder / "me.glb").read_bytes() == b"glb" * 1_000_000
    assert (folder / "all" / "run.json").read_bytes() == samples.RUN_JSON
    assert "7 faces, 55 joints, 175 cm tall" in ended.out
    assert "optimization: 20/20" in ended.err
    assert "The server sends no mask.png." in ended.err


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="other folders there")
def test_local_is_this_users_own_server(
    humanref: Callable, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    with FakeBackend(tmp_path / "runtime" / "humanref" / "backend.json") as backend:
        ended = humanref("generate", portrait, "-o", tmp_path / "me.glb", "--server", "local")
        assert ended.code == 0, ended.err
        assert len(backend.store.jobs) == 1


def test_generate_as_a_still_mesh_and_as_json(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path
) -> None:
    with FakeBackend(connection):
        ended = humanref(
            "generate", portrait, "-o", tmp_path / "me.ply", "--server", connection, "--json"
        )
    assert ended.code == 0, ended.err
    answer = json.loads(ended.out)
    assert answer["ok"]
    assert answer["files"] == {"character": str(tmp_path / "me.ply")}
    assert answer["run"] == json.loads(samples.RUN_JSON)
    mesh = trimesh.load(tmp_path / "me.ply", process=False)
    character = samples.character()
    np.testing.assert_allclose(mesh.vertices, character.vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.visual.vertex_colors[:, :3], character.colors)


def test_estimate_writes_pose_and_overlay(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path
) -> None:
    pose = tmp_path / "pose.json"
    with FakeBackend(connection) as backend:
        ended = humanref(
            *("estimate", portrait, "-o", pose, "--overlay", tmp_path / "pose.png"),
            *("--server", connection),
        )
        assert ended.code == 0, ended.err
        # Given back for a re-fit it travels to the server again, with its camera.
        again = humanref(
            *("estimate", portrait, "-o", tmp_path / "again.json", "--server", connection),
            *("--pose", pose, "--refit", "--lock", "left_elbow, neck"),
        )
        requests = [job.request for job in backend.store.jobs.values()]
    written = read_pose(pose)
    np.testing.assert_allclose(written.pose.betas, samples.POSE.betas, atol=1e-6)
    assert written.joints is not None
    assert written.camera is not None
    assert written.camera.pixels_per_metre == samples.CAMERA.pixels_per_metre
    # In the T-pose joints are where the shape puts them, moved by transl.
    template = samples.template()
    expected = template.joints + template.joint_directions @ np.float32(samples.POSE.betas)
    np.testing.assert_allclose(written.joints, expected + samples.POSE.transl, atol=1e-4)
    assert (tmp_path / "pose.png").stat().st_size > 1000
    # The sample's joints are no anny body's: a person who edited joints by hand hears the same.
    assert again.code == 2
    assert "lies" in again.err
    assert len(requests) == 1


def test_a_pose_travels_with_its_camera(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path
) -> None:
    pose = tmp_path / "pose.json"
    with FakeBackend(connection) as backend:
        assert humanref("estimate", portrait, "-o", pose, "--server", connection).code == 0
        content = json.loads(pose.read_text())
        del content["joints"]
        pose.write_text(json.dumps(content))
        ended = humanref(
            *("estimate", portrait, "-o", tmp_path / "again.json", "--server", connection),
            *("--pose", pose, "--refit", "--lock", "left_elbow, neck"),
        )
        assert ended.code == 0, ended.err
        ended = humanref(
            "generate", portrait, "-o", tmp_path / "me.glb", "--server", connection, "--pose", pose
        )
        assert ended.code == 0, ended.err
        _, refit, generated = (job.request for job in backend.store.jobs.values())
    assert isinstance(refit, Estimate)
    assert isinstance(generated, Submit)
    assert refit.locked_joints == ("left_elbow", "neck")
    for sent in (refit.initial, generated.pose):
        assert sent is not None
        np.testing.assert_allclose(sent.betas, samples.POSE.betas, atol=1e-6)
    assert refit.camera == generated.camera == samples.CAMERA


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--segmentation", "keyed"), "option_conflict"),
        (("--resume",), "option_conflict"),
        (("--smplx-model", "."), "option_conflict"),
        (("--seed", "-1"), "option_out_of_range"),
    ],
)
def test_options_that_cannot_travel_are_refused_before_anything_is_sent(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path, words: tuple, code: str
) -> None:
    with FakeBackend(connection) as backend:
        ended = humanref(
            *("generate", portrait, "-o", tmp_path / "me.glb", "--json"),
            *("--server", connection, *words),
        )
        assert backend.received == []
    assert ended.code == 2
    assert json.loads(ended.out)["error"]["code"] == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--caption", "a person"), "option_conflict"),
        (("--refit",), "refit_without_pose"),
        (("--lock", "neck"), "locked_without_refit"),
    ],
)
def test_estimates_that_cannot_travel(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path, words: tuple, code: str
) -> None:
    ended = humanref(
        *("estimate", portrait, "-o", tmp_path / "pose.json", "--json"),
        *("--server", connection, *words),
    )
    assert ended.code == 2
    assert json.loads(ended.out)["error"]["code"] == code


def test_without_a_server_one_sentence_at_once(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path
) -> None:
    start = time.monotonic()
    common = ("generate", portrait, "-o", tmp_path / "me.glb")
    missing = humanref(*common, "--server", connection)
    with FakeBackend(connection):
        pass
    stale = humanref(*common, "--server", connection)
    lone = humanref(*common, "--key", portrait)
    assert time.monotonic() - start < 5.0
    for ended, word in ((missing, "no connection file"), (stale, "answers"), (lone, "--server")):
        assert ended.code == 2
        assert word in ended.err
        assert "Traceback" not in ended.err
    assert not (tmp_path / "me.glb").exists()


def test_the_servers_own_errors_come_through(
    humanref: Callable, portrait: Path, tmp_path: Path, connection: Path
) -> None:
    bad = portrait.rename(portrait.with_name("bad.png"))
    with FakeBackend(connection):
        ended = humanref(
            "generate", bad, "-o", tmp_path / "me.glb", "--server", connection, "--json"
        )
    assert ended.code == 2
    error = json.loads(ended.out)["error"]
    assert (error["code"], error["hint"]) == ("no_person", "Take another.")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in", "run"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_stops_the_job_on_the_server(
    portrait: Path, tmp_path: Path, connection: Path
) -> None:
    store = Store()
    command = [sys.executable, "-m", "backend.cli", "generate", str(portrait)]
    command += ["-o", str(tmp_path / "me.glb"), "--server", str(connection)]
    with FakeBackend(connection, store, steps=100_000):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        while "optimization" not in process.stderr.readline():
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    (job,) = store.jobs.values()
    assert job.status.state == "cancelled"
    assert "Stopped, here and on the server." in said
    assert not (tmp_path / "me.glb").exists()


def test_progress_of_a_server_looks_like_one_from_here() -> None:
    events: list[Event] = []
    clock = iter(range(100))
    stages = StageEvents(events.append, clock=lambda: float(next(clock)))
    stages.transfer(Transfer(job_id="j", direction="up", done=500, total=1000))
    stages.transfer(Transfer(job_id="j", direction="up", done=1000, total=1000))
    stages.progress(Progress(stage="fitting", provider="anny"))
    stages.progress(Progress(stage="optimization", step=1, total=4, eta=3.0, losses={"rgb": 1.0}))
    stages.progress(Progress(stage="optimization", step=2, total=4))
    stages.transfer(Transfer(job_id="j", direction="down", done=9, total=9))
    stages.finish()
    kinds = [(type(event), event.stage) for event in events if not isinstance(event, Step)]
    assert kinds == [
        (kind, stage)
        for stage in ("upload", "fitting", "optimization")
        for kind in (StageStarted, StageFinished)
    ]
    steps = [event for event in events if isinstance(event, Step)]
    assert [(each.stage, each.step, each.total) for each in steps] == [
        ("upload", 1, 1),
        ("upload", 1, 1),
        ("optimization", 1, 4),
        ("optimization", 2, 4),
    ]
    assert steps[2].eta == 3.0
    # Nobody said how long: half is done in the time that passed, so as much is left.
    assert steps[3].eta == pytest.approx(1.0)

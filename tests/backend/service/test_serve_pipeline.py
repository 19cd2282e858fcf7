"""The real pipeline behind the wire."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from service_harness import RawClient, RunningServer, greeted, options, running

from backend.cli.serve_command import make_runner
from shared_protocol.messages import (
    GrantPreview,
    JobStatus,
    Notice,
    PoseProposed,
    Preview,
    Result,
)
from shared_protocol.packing import blob_ref, unpack_character, unpack_template

PHOTO = (Path(__file__).parents[3] / "examples" / "photo.png").read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the workers that ship."""
    with running(options(tmp_path_factory.mktemp("real")), make_runner) as made:
        yield made


@pytest.fixture
def client(server: RunningServer) -> Iterator[RawClient]:
    """A client that waits for models to load and fits to end, on a busy machine too."""
    with greeted(server.connection) as made:
        made.patience = 250.0
        yield made


def test_estimate_of_the_example_and_of_a_broken_file(client: RawClient) -> None:
    job, broken = client.estimate(PHOTO), client.estimate(PHOTO[:2000], photo_name="torn.png")
    proposed = client.push(PoseProposed, job).content
    assert proposed.fit.silhouette_iou > 0.5
    assert proposed.photo.sha256 == blob_ref(PHOTO).sha256
    template = unpack_template(client.fetch(proposed.body))
    assert template.model == proposed.pose.model
    assert template.shape_directions.shape[2] == len(proposed.pose.betas)
    error = client.push(JobStatus, broken).content.error
    assert error.code == "photo_unreadable"
    assert "torn.png" in error.message
    assert "blobs" not in error.message + error.hint
    # Again from the artist's pose: a locked joint stays exactly.
    refit = client.estimate(
        PHOTO, initial=proposed.pose, camera=proposed.camera, locked_joints=("left_elbow",)
    )
    again = client.push(PoseProposed, refit).content
    elbow = slice(3 * 18, 3 * 19)
    np.testing.assert_allclose(
        again.pose.full_pose[elbow], proposed.pose.full_pose[elbow], atol=1e-5
    )
    assert again.body == proposed.body


@pytest.mark.slow
def test_character_survives_the_death_of_its_worker(
    client: RawClient, server: RunningServer
) -> None:
    proposed = client.push(PoseProposed, client.estimate(PHOTO)).content
    job = client.submit_photo(
        PHOTO, preset="draft", steps=70, faces=4000, texture=256, pose=proposed.pose,
        camera=proposed.camera, prompt="a person in blue", photo_name="me.png", guidance="ref-sds",
    )  # fmt: skip
    client.send(GrantPreview(), line="data", job_id=job)
    preview = client.receive("data")
    assert preview is not None
    assert isinstance(preview.content, Preview)
    client.until(job, "running", step=45)
    os.kill(server.worker_pids()["batch"], signal.SIGKILL)
    result = client.push(Result, job).content
    codes = [e.notice.code for e in client.status(job).events if e.notice is not None]
    assert codes.count("worker_died") == 1
    assert "checkpoint_unusable" not in codes
    assert not any(isinstance(m.content, Notice) and m.job_id != job for m in client.pushed)
    character = unpack_character(client.fetch(result.character))
    assert character.name == "me"
    assert len(character.faces) == result.faces <= 4000
    assert character.texture.startswith(b"\x89PNG")
    assert len(character.uv) == 3 * len(character.faces)
    assert set(result.files) >= {
        "character.glb", "overlay.png", "pose.json", "run.json", "turntable.png"
    }  # fmt: skip
    run = json.loads(client.fetch(result.files["run.json"]))
    assert run["inputs"]["photo"]["name"] == "me.png"
    assert run["results"]["caption"] == "a person in blue"
    assert run["guidance"] == result.guidance
    assert "prior compact" in result.guidance
    assert str(server.options.data_dir) not in json.dumps(run)

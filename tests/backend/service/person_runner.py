"""A worker that makes the documents a client unpacks. Importable by spawned processes."""

from __future__ import annotations

import time

import client_samples as samples
import numpy as np
from fake_runner import put_result

from backend.errors import Cancelled
from backend.service.worker import IsStopped, JobRunner, Send
from backend.service.worker_messages import (
    Facts,
    Finished,
    LaneName,
    Previewed,
    PreviewMesh,
    RunJob,
    Told,
)
from shared_protocol.messages import (
    BodyInfo,
    Estimate,
    Notice,
    PoseProposed,
    Progress,
    Result,
)
from shared_protocol.packing import pack_character, pack_template

STEPS = 60
NOTE_EVERY = 10
GLB = b"glb" * 1_000_000


class PersonRunner:
    """Counts to ``STEPS``, keeping a checkpoint at every step."""

    def warm(self) -> Facts:
        """At once."""
        body = BodyInfo(name="anny_smplx55", licence="test", n_betas=10)
        return Facts(device="cpu: a test", providers={}, bodies=(body,))

    def let_go(self) -> None:
        """Nothing is kept."""

    def run(self, job: RunJob, send: Send, is_stopped: IsStopped) -> Finished:
        """An estimate at once, a character step by step."""
        if isinstance(job.request, Estimate):
            body = put_result(job, "body", pack_template(samples.template()))
            proposed = PoseProposed(
                pose=samples.POSE,
                camera=samples.CAMERA,
                photo=samples.PHOTO,
                fit=samples.FIT,
                body=body.blob,
            )
            return Finished(job.uid, proposed, (body,))
        checkpoint = job.folder / "checkpoint"
        first = int(checkpoint.read_text()) if job.resume and checkpoint.is_file() else 0
        for step in range(first + 1, STEPS + 1):
            if is_stopped():
                raise Cancelled()
            send(Told(job.uid, Progress(stage="optimization", step=step, total=STEPS, eta=1.0)))
            if step % NOTE_EVERY == 0:
                send(Told(job.uid, Notice(code=f"note_{step}", message="Something to know.")))
            send(Previewed(job.uid, preview_of(step)))
            checkpoint.write_text(str(step))
            time.sleep(0.03)
        made = {
            "character": put_result(job, "character", pack_character(samples.character())),
            "character.glb": put_result(job, "character.glb", GLB),
            "run.json": put_result(job, "run.json", samples.RUN_JSON),
        }
        files = {name: file.blob for name, file in made.items() if name != "character"}
        content = Result(character=made["character"].blob, files=files, faces=7)
        return Finished(job.uid, content, tuple(made.values()))


def make_person_runner(lane: LaneName, smplx_path: object) -> JobRunner:
    """For the server."""
    return PersonRunner()


def preview_of(step: int) -> PreviewMesh:
    """The mesh at a step; its faces change every eighth one."""
    size = 300 + step // 8
    random, faces = np.random.default_rng(step), np.random.default_rng(step // 8)
    return PreviewMesh(
        step=step,
        topology=f"t{step // 8}",
        vertices=random.normal(size=(size, 3)).astype(np.float32),
        colors=np.full((size, 3), step, np.uint8),
        faces=faces.integers(0, size, (500, 3)).astype(np.int32),
    )

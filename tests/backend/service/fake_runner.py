"""A worker without torch: it does what the prompt of its job says. Importable by spawned processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from backend.errors import Cancelled, HumanRefError
from backend.service.worker import IsStopped, JobRunner, Send
from backend.service.worker_messages import (
    Facts,
    Finished,
    LaneName,
    OutputFile,
    Previewed,
    PreviewMesh,
    RunJob,
    Told,
)
from shared_protocol.messages import (
    BodyInfo,
    Camera,
    Estimate,
    Fit,
    Notice,
    PhotoInfo,
    Pose,
    PoseProposed,
    Progress,
    Result,
)
from shared_protocol.packing import blob_ref

POSE = Pose(model="anny_smplx55", betas=(0.5,), full_pose=(0.0,) * 165, transl=(0.0, 0.9, 0.0))


class FakeRunner:
    """Words of a prompt: ``steps=N``, ``pause=SECONDS``, ``checkpoint``, and ways to end badly.

    A photo that was estimated before is remembered, which the fit tells as a missing joint.
    """

    def __init__(self) -> None:
        self._remembered: set[str] = set()

    def warm(self) -> Facts:
        """At once."""
        body = BodyInfo(name="anny_smplx55", licence="test", n_betas=1)
        return Facts(device="cpu: a test", providers={"fitting": "fake"}, bodies=(body,))

    def let_go(self) -> None:
        """Remember no photo."""
        self._remembered.clear()

    def run(self, job: RunJob, send: Send, is_stopped: IsStopped) -> Finished:
        """Count, tell, preview; then hand over a file that says where the counting began."""
        if isinstance(job.request, Estimate):
            return self._estimate(job, send)
        words = dict(word.partition("=")[::2] for word in job.request.prompt.split())
        steps, pause = int(words.get("steps", 3)), float(words.get("pause", 0.0))
        checkpoint = job.folder / "checkpoint"
        first = int(checkpoint.read_text()) if job.resume and checkpoint.is_file() else 0
        for step in range(first, steps):
            if is_stopped() and "deaf" not in words:
                _keep(checkpoint, step)
                raise Cancelled()
            if "checkpoint" in words:
                _keep(checkpoint, step + 1)
            send(Told(job.uid, Progress(stage="counting", step=step + 1, total=steps)))
            send(Previewed(job.uid, _mesh(step + 1)))
            self._misbehave(words, job)
            time.sleep(pause)
        send(Told(job.uid, Notice(code="counted", message=f"to {steps}")))
        return self._finish(job, f"from {first} to {steps}")

    def _estimate(self, job: RunJob, send: Send) -> Finished:
        send(Told(job.uid, Progress(stage="looking")))
        photo = job.files[job.request.photo.sha256].read_bytes()
        if photo.startswith(b"unreadable"):
            path = job.files[job.request.photo.sha256]
            raise HumanRefError("photo_unreadable", f"{path} or {path.name} is no picture.")
        body = put_result(job, "body", b"a body")
        known = ("remembered",) if job.request.photo.sha256 in self._remembered else ()
        self._remembered.add(job.request.photo.sha256)
        proposed = PoseProposed(
            pose=POSE,
            camera=Camera(pixels_per_metre=100.0, center_u=50.0, center_v=90.0),
            photo=PhotoInfo(width=100, height=100, sha256=job.request.photo.sha256),
            fit=Fit(missing_joints=known),
            body=body.blob,
        )
        return Finished(job.uid, proposed, (body,))

    @staticmethod
    def _misbehave(words: dict[str, str], job: RunJob) -> None:
        if "die" in words or ("die-once" in words and not job.resume):
            os.kill(os.getpid(), 9)
        if "full" in words or ("full-once" in words and not job.resume):
            raise OSError(28, "No space left on device")
        if "memory" in words:
            raise MemoryError
        if "bug" in words:
            raise KeyError("secret")

    @staticmethod
    def _finish(job: RunJob, text: str) -> Finished:
        log = put_result(job, "run.json", text.encode())
        # As large as a few chunks.
        character = put_result(job, "character", text.encode() + bytes(3_000_000))
        content = Result(character=character.blob, files={"run.json": log.blob}, faces=1)
        return Finished(job.uid, content, (log, character))


def make_fake_runner(lane: LaneName, smplx_path: Path | None) -> JobRunner:
    """For the server."""
    return FakeRunner()


class BrokenRunner(FakeRunner):
    """Dies while it loads its models."""

    def warm(self) -> Facts:
        """Never."""
        os.kill(os.getpid(), 9)
        raise AssertionError


def make_broken_runner(lane: LaneName, smplx_path: Path | None) -> JobRunner:
    """For the server."""
    return BrokenRunner()


def _keep(checkpoint: Path, step: int) -> None:
    """Whole at any moment, like the real one."""
    part = checkpoint.with_suffix(".part")
    part.write_text(str(step))
    part.replace(checkpoint)


def _mesh(step: int) -> PreviewMesh:
    rng = np.random.default_rng(step)
    return PreviewMesh(
        step=step,
        topology="even" if step % 2 == 0 else "odd",
        vertices=rng.normal(size=(300, 3)).astype(np.float32),
        colors=rng.integers(0, 256, (300, 3)).astype(np.uint8),
        faces=rng.integers(0, 300, (500, 3)).astype(np.int32),
    )


def put_result(job: RunJob, name: str, data: bytes) -> OutputFile:
    """Write a result where the real worker writes it."""
    path = job.folder / "out" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return OutputFile(blob_ref(data), path)

"""The real worker: estimates and characters made by the pipeline. Heavy: imported in workers only."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from backend.body import load_body
from backend.body.model import BodyModel
from backend.devices import choose_device
from backend.doctor import examine
from backend.errors import HumanRefError
from backend.events import OnEvent
from backend.files import write_whole
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.overrides import Overrides
from backend.perception.providers import PerceptionChoices
from backend.perception.subject import Subject
from backend.pipeline import Estimate, EstimateRequest, GenerateResult, estimate, generate, stage
from backend.results import Writer, result_files, result_numbers
from backend.run_report import InputFile, RunRecorder
from backend.service import documents
from backend.service.kept_prior import KeptPrior
from backend.service.observer import JobObserver
from backend.service.words import plain
from backend.service.worker import IsStopped, Send
from backend.service.worker_messages import Facts, Finished, LaneName, OutputFile, RunJob
from backend.settings import (
    PRIOR_GUIDANCE,
    GenerateSettings,
    Guidance,
    preset_settings,
)
from backend.threads import configure_threads
from shared_protocol.messages import BlobRef, BodyInfo, Maps, Result, Submit
from shared_protocol.messages import Estimate as EstimateJob
from shared_protocol.packing import pack_character, pack_template

FILES = (
    "character.glb",
    "mesh.ply",
    "pose.json",
    "mask.png",
    "regions.png",
    "overlay.png",
    "turntable.png",
)
"""Of :func:`backend.results.result_files`, what ``--artifacts`` keeps; ``run.json`` comes on top."""
_CHECKPOINT_EVERY = 40
"""Steps: a killed process loses seconds, and one costs less than a step."""


class PipelineRunner:
    """Runs jobs on the pipeline of this process."""

    def __init__(self, lane: LaneName, smplx_path: Path | None, prior: str | None = None) -> None:
        self._lane, self._smplx_path, self._prior = lane, smplx_path, prior
        self._templates: dict[str, bytes] = {}
        self._kept = KeptPrior()
        self._seen: tuple[tuple[Any, ...], Subject] | None = None
        """What the newest proposal saw, and in what: a re-fit need not look at the same photo again."""

    def warm(self) -> Facts:
        """Load what the first job would wait for."""
        configure_threads()
        if self._lane == "interactive":
            # The first picture is looked at in half the time when the models have seen one.
            with MediapipeModels() as models:
                models.holistic(np.zeros((256, 256, 3), np.uint8))
        report = examine()
        bodies = [self._body_info(load_body("anny"))]
        if self._smplx_path is not None:
            bodies.append(self._body_info(load_body("smplx", self._smplx_path)))
        return Facts(
            device=_device("auto"),
            providers={row.stage: f"{row.provider}: {row.why}" for row in report.stages},
            bodies=tuple(bodies),
        )

    def run(self, job: RunJob, send: Send, is_stopped: IsStopped) -> Finished:
        """Do a job; see :class:`backend.service.worker.JobRunner`."""
        observer = JobObserver(job.uid, send, is_stopped)
        choose_device(job.request.device)
        if isinstance(job.request, EstimateJob):
            return self._estimate(job, job.request, observer)
        return self._generate(job, job.request, observer)

    def let_go(self) -> None:
        """Forget the photo that the newest proposal saw."""
        self._seen = None

    def _estimate(self, job: RunJob, request: EstimateJob, on_event: OnEvent) -> Finished:
        asked = self._request(job, request)
        if request.initial is not None:
            asked = replace(
                asked,
                initial=documents.pose_file(request.initial, request.camera),
                refit=True,
                locked_joints=frozenset(request.locked_joints),
            )
        looked_at = (request.photo, request.maps, request.person, request.device)
        subject = None
        if request.initial is not None and self._seen is not None and self._seen[0] == looked_at:
            subject = self._seen[1]
        estimated = estimate(asked, on_event, subject=subject)
        self._seen = looked_at, estimated.subject
        out = _Outbox(job.folder)
        body = out.add("body", self._template(estimated.model))
        return Finished(job.uid, documents.pose_proposed(estimated, body), out.files)

    def _generate(self, job: RunJob, request: Submit, observer: JobObserver) -> Finished:
        settings = generate_settings(request, self._prior)
        recorder = RunRecorder(observer)
        asked = self._request(job, request)
        if request.pose is not None:
            asked = replace(asked, initial=documents.pose_file(request.pose, request.camera))
        if request.prompt.strip():
            asked = replace(asked, overrides=replace(asked.overrides, caption=request.prompt))
        estimated = estimate(asked, recorder)
        result = self._fit(job, asked, estimated, settings, recorder, observer)
        name = Path(request.photo_name).stem or "character"
        out = _Outbox(job.folder)
        with stage("export", recorder):
            packed = pack_character(documents.character_data(name, estimated, result))
            character = out.add("character", packed)
            writers = result_files(estimated, result, name)
            files = {each: out.write(each, writers[each]) for each in FILES}
        recorder.add_providers(result.providers)
        report = recorder.report(
            settings,
            guidance=result.providers["guidance"],
            device=_device(settings.device),
            results=result_numbers(estimated, result),
        )
        report = replace(report, inputs=_inputs(job))
        files["run.json"] = out.write("run.json", report.write)
        content = Result(
            character=character,
            files=files,
            faces=len(result.character.mesh.faces),
            seconds=recorder.seconds,
            guidance=result.providers["guidance"],
            warnings=tuple(plain(warning) for warning in recorder.warnings),
        )
        return Finished(job.uid, content, out.files)

    def _fit(
        self,
        job: RunJob,
        asked: EstimateRequest,
        estimated: Estimate,
        settings: GenerateSettings,
        on_event: OnEvent,
        observer: JobObserver,
    ) -> GenerateResult:
        checkpoint = job.folder / "checkpoint"
        resume = job.resume and checkpoint.is_file()

        def fit(resume: bool) -> GenerateResult:
            return generate(
                estimated,
                settings,
                on_event,
                overrides=asked.overrides,
                providers=asked.providers,
                checkpoint=checkpoint,
                resume=resume,
                load=self._kept.load,
            )

        try:
            return fit(resume)
        except HumanRefError as error:
            if not (resume and error.code.startswith("checkpoint_")):
                raise
            observer.notice(
                "checkpoint_unusable",
                "The work of an earlier start could not be continued; the fit began again.",
            )
            checkpoint.unlink(missing_ok=True)
            return fit(False)

    def _request(self, job: RunJob, request: EstimateJob | Submit) -> EstimateRequest:
        return EstimateRequest(
            photo=job.files[request.photo.sha256],
            overrides=_overrides(request.maps, job.files),
            person=request.person,
            body=request.body,
            smplx_path=self._smplx_path if request.body == "smplx" else None,
            height_cm=request.height_cm,
            providers=PerceptionChoices(device=request.device),
        )

    def _template(self, model: BodyModel) -> bytes:
        """Packed once a process: it is the same for every photo."""
        if model.name not in self._templates:
            self._templates[model.name] = pack_template(documents.body_template(model))
        return self._templates[model.name]

    @staticmethod
    def _body_info(model: BodyModel) -> BodyInfo:
        return BodyInfo(name=model.name, licence=model.licence, n_betas=model.n_betas)


def _device(name: str) -> str:
    chosen = choose_device(name)
    return f"{chosen.device.type}: {chosen.why}"


def generate_settings(request: Submit, prior: str | None = None) -> GenerateSettings:
    """The preset with the request's options laid over it, and the server's own ``prior``."""
    settings = preset_settings(request.preset)
    if prior is not None and request.guidance in PRIOR_GUIDANCE:
        from backend.guidance.prior_choice import named_prior

        settings = replace(settings, prior=named_prior(settings.prior, prior))
    options, meshing = settings.optimization, settings.meshing
    options = replace(
        options,
        steps=options.steps if request.steps is None else request.steps,
        checkpoint_every=min(options.checkpoint_every, _CHECKPOINT_EVERY),
    )
    if request.faces is not None:
        meshing = replace(meshing, faces=request.faces)
    if request.texture is not None:
        meshing = replace(meshing, texture=request.texture)
    return replace(
        settings,
        guidance=cast(Guidance, request.guidance),
        seed=request.seed,
        device=request.device,
        height_cm=request.height_cm,
        optimization=options,
        meshing=meshing,
    )


def _overrides(maps: Maps, files: dict[str, Path]) -> Overrides:
    def place(blob: BlobRef | None) -> Path | None:
        return None if blob is None else files[blob.sha256]

    return Overrides(
        mask=place(maps.mask),
        regions=place(maps.regions),
        normals_front=place(maps.normals_front),
        normals_back=place(maps.normals_back),
    )


def _inputs(job: RunJob) -> dict[str, InputFile]:
    """Inputs by the names a person knows them by."""
    request = job.request
    maps = dataclasses.asdict(_overrides(request.maps, job.files))
    blobs = {"photo": (request.photo_name, request.photo)}
    for role in ("mask", "regions", "normals_front", "normals_back"):
        if maps[role] is not None:
            blobs[role] = (role, getattr(request.maps, role))
    return {role: InputFile(name, blob.size, blob.sha256) for role, (name, blob) in blobs.items()}


class _Outbox:
    """Result files on their way into the blob store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "out"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.files: tuple[OutputFile, ...] = ()

    def add(self, name: str, data: bytes) -> BlobRef:
        """Write ``data``."""
        return self.write(name, lambda path: write_whole(path, data))

    def write(self, name: str, write: Writer) -> BlobRef:
        """Have a file written and digest it."""
        path = self._folder / name
        write(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        blob = BlobRef(sha256=digest, size=path.stat().st_size)
        self.files = (*self.files, OutputFile(blob, path))
        return blob

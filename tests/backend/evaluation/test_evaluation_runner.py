"""The runner: what it computes, what it keeps, what it tells. The photo's person is the doll itself."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.body.model import PosedBody
from backend.errors import HumanRefError
from backend.evaluation import predictions, runner
from backend.evaluation.costs import StageCosts
from backend.evaluation.dataset import AZIMUTHS, load_truth
from backend.evaluation.methods import METHODS, choose_methods
from backend.evaluation.predictions import Prediction
from backend.evaluation.report import markdown, mean_tree
from backend.evaluation.runner import EvaluationRequest, evaluate
from backend.evaluation.store import TILE, read_strip
from backend.events import StageFinished, StageStarted
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.mesh import ColoredMesh
from backend.pipeline import Estimate, stage
from backend.settings import PRIOR_GUIDANCE, GenerateSettings
from shared_protocol.skeleton import JOINT_NAMES


def bare(kind: type, **parts: Any) -> Any:
    """An object of a class with only the parts that are read here."""
    made = object.__new__(kind)
    for name, value in parts.items():
        object.__setattr__(made, name, value)
    return made


@dataclass
class Calls:
    """What the stand-ins for estimate and generate were asked."""

    estimates: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    stop_at: int | None = None
    refuse: str = ""


@pytest.fixture
def calls(doll: ColoredMesh, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The two long functions give the truth: the runner's own work stays as it is."""
    seen = Calls()

    def estimate(request: Any, on_event: Any) -> Any:
        subject = request.photo.parent
        if subject.name == seen.refuse:
            raise HumanRefError("person_missing", "There is nobody in the photo.")
        seen.estimates.append(subject.name)
        with stage("fitting", on_event):
            rgba = np.asarray(Image.open(request.photo), np.float32) / np.float32(255)
        photo = SimpleNamespace(rgb=rgba[..., :3])
        looked = SimpleNamespace(photo=photo, mask=rgba[..., 3])
        return bare(Estimate, subject=looked, folder=subject)

    def generate(estimated: Any, settings: GenerateSettings, on_event: Any) -> Prediction:
        if seen.stop_at == len(seen.runs):
            raise KeyboardInterrupt
        seen.runs.append(f"{estimated.folder.name} {settings.guidance}")
        with stage("optimization", on_event):
            truth = load_truth(estimated.folder)
        joints = np.stack([truth.joints[name] for name in JOINT_NAMES])
        camera = PhotoCamera(256.0, 256.0 - 0.1 * 256.0, 256.0 + 0.9 * 256.0)
        crop = CropFrame(256.0, 256.0, 256.0)
        return Prediction(doll, None, joints, camera, crop, settings.guidance, {})

    monkeypatch.setattr(runner, "estimate", estimate)
    monkeypatch.setattr(runner, "predict_character", generate)
    return seen


@pytest.fixture
def request_two(write_subject: Callable[[Path], Path], tmp_path: Path) -> EvaluationRequest:
    first = write_subject(tmp_path / "people" / "anna")
    shutil.copytree(first, first.with_name("ben"))
    chosen = choose_methods(("recon",), prior_named=False)
    return EvaluationRequest(first.parent, tmp_path / "report", chosen, GenerateSettings())


def test_an_evaluation_goes_on_where_it_was_stopped(
    calls: Calls, request_two: EvaluationRequest
) -> None:
    calls.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        evaluate(request_two)
    assert calls.runs == ["anna none"]
    kept = request_two.output / "results" / "anna" / "recon" / "metrics.json"
    before = kept.stat().st_mtime_ns
    calls.stop_at = None
    report = evaluate(request_two)
    # Anna was neither run nor even looked at again.
    assert calls.runs == ["anna none", "ben none"]
    assert calls.estimates == ["anna", "ben", "ben"]
    assert kept.stat().st_mtime_ns == before
    assert report["mean"]["recon"]["subjects"] == 2
    assert report["mean"]["recon"]["aligned"]["icp"]["geometry"]["chamfer_cm"] < 0.1
    assert report["mean"]["recon"]["input_view"]["silhouette_iou"] > 0.99
    json.dumps(report, allow_nan=False)
    # Half a result is none.
    kept.write_text(kept.read_text()[:-20])
    evaluate(request_two)
    assert calls.runs[2:] == ["anna none"]
    # Other settings are another result.
    evaluate(replace(request_two, limit=1, settings=replace(request_two.settings, seed=1)))
    assert calls.runs[3:] == ["anna none"]

    sheet = np.asarray(Image.open(request_two.output / "sheet.png"))
    assert sheet.shape[0] > 2 * TILE
    strip = read_strip(kept.with_name("views.png"))
    assert strip.shape == (TILE, TILE * len(AZIMUTHS), 3)


def test_equal_runs_are_made_once_and_refusals_are_told(
    calls: Calls, request_two: EvaluationRequest
) -> None:
    assert GenerateSettings().guidance == "mirror"
    calls.refuse = "anna"
    both = choose_methods(("standard", "mirror", "standard"), prior_named=False)
    report = evaluate(replace(request_two, methods=both))
    assert calls.runs == ["ben mirror"]
    assert report["subjects"]["ben"]["mirror"]["same_run_as"] == "standard"
    assert [(f["subject"], f["method"]) for f in report["failed"]] == [
        ("anna", "standard"),
        ("anna", "mirror"),
    ]
    page = markdown(report)
    assert "There is nobody in the photo." in page
    assert "| ben | mirror |" in page
    assert "unavailable" in page or not report["unavailable"]
    calls.refuse = "ben"
    with pytest.raises(HumanRefError, match="nobody") as told:
        evaluate(replace(request_two, dataset=_only(request_two.dataset, "ben"), fresh=True))
    assert told.value.code == "evaluation_failed"


def _only(dataset: Path, name: str) -> Path:
    other = dataset.with_name("alone")
    shutil.copytree(dataset / name, other / name)
    return other


def test_methods_that_need_a_prior_say_so() -> None:
    needing = [method.name for method in METHODS if method.guidance in PRIOR_GUIDANCE]
    assert needing == ["ref-sds", "ref-sds-global", "sds"]
    for name in needing:
        with pytest.raises(HumanRefError, match=f"{name} needs a diffusion model") as told:
            choose_methods(("standard", name), prior_named=False)
        assert told.value.code == "prior_missing"
        assert choose_methods((name,), prior_named=True)[0].needs_prior
    with pytest.raises(HumanRefError, match="none of the methods asks a prior"):
        choose_methods(("standard",), prior_named=True)
    with pytest.raises(HumanRefError, match="No method"):
        choose_methods((), prior_named=False)


def test_means_of_trees() -> None:
    trees = [
        {"a": {"x": 1.0, "y": 2}, "w": "same", "v": "one", "n": None},
        {"a": {"x": 3.0}, "w": "same", "v": "two", "n": 4.0},
    ]
    assert mean_tree(trees) == {"a": {"x": 2.0, "y": 2.0}, "w": "same", "n": 4.0}


def test_costs_count_a_stage_once_and_its_own_memory() -> None:
    costs = StageCosts()
    costs(StageStarted("outer"))
    costs(StageStarted("inner"))
    block = np.ones(30_000_000)
    costs(StageFinished("inner", 2.0))
    del block
    costs(StageFinished("outer", 5.0))
    costs(StageStarted("after"))
    costs(StageFinished("after", 1.0))
    assert costs.seconds == {"inner": 2.0, "outer": 5.0, "after": 1.0}
    assert sum(costs.outer_seconds) == 6.0
    peak = costs.peak_memory_mb
    assert peak["outer"] >= peak["inner"]
    if costs.memory_is_per_stage:
        assert peak["inner"] > peak["after"] + 150.0


def test_the_body_takes_the_photos_colour_at_its_own_place() -> None:
    rgb = np.zeros((40, 40, 3), np.float32)
    rgb[:, :20], rgb[:, 20:] = (1, 0, 0), (0, 0, 1)
    mask = np.zeros((40, 40), np.float32)
    mask[5:35, 5:35] = 1.0
    vertices = np.array([[-0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [0.5, 1.0, -0.1], [9.0, 9.0, 9.0]])
    body = bare(
        PosedBody,
        vertices=vertices,
        faces=np.array([[0, 1, 2], [0, 1, 3]]),
        outer_faces=np.array([True, False]),
        joints=np.zeros((55, 3)),
    )
    subject = SimpleNamespace(photo=SimpleNamespace(rgb=rgb), mask=mask, providers={})
    fit = SimpleNamespace(camera=PhotoCamera(20.0, 20.0, 30.0))
    estimated = bare(Estimate, subject=subject, body=body, fit=fit)
    made = predictions.predict_body(estimated, lambda event: None)
    # The inner triangle and its far vertex are gone; the back is as blue as the front.
    assert made.mesh.vertices.shape == (3, 3)
    np.testing.assert_allclose(made.mesh.colors, [[1, 0, 0], [0, 0, 1], [0, 0, 1]], atol=1e-6)

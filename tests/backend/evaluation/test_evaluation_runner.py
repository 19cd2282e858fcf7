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
from backend.evaluation.wins import UNSEEN_METRICS, count_wins, unseen_means
from backend.events import StageFinished, StageStarted
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.mesh import ColoredMesh
from backend.pipeline import Estimate, stage
from backend.settings import GenerateSettings
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
    chosen = choose_methods(("recon",), GenerateSettings(), prior_named=False)
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
    settings = replace(GenerateSettings(), guidance="mirror")
    calls.refuse = "anna"
    both = choose_methods(("standard", "mirror", "standard"), settings, prior_named=False)
    report = evaluate(replace(request_two, methods=both, settings=settings))
    assert calls.runs == ["ben mirror"]
    assert report["subjects"]["ben"]["mirror"]["same_run_as"] == "standard"
    assert [(f["subject"], f["method"]) for f in report["failed"]] == [
        ("anna", "standard"),
        ("anna", "mirror"),
    ]
    page = markdown(report)
    assert "There is nobody in the photo." in page
    assert "| ben | mirror |" in page
    # One run under two names beats itself nowhere.
    assert "| standard |  | 0 of 1 |" in page
    assert "unavailable" in page or not report["unavailable"]
    calls.refuse = "ben"
    with pytest.raises(HumanRefError, match="nobody") as told:
        evaluate(replace(request_two, dataset=_only(request_two.dataset, "ben"), fresh=True))
    assert told.value.code == "evaluation_failed"


def _only(dataset: Path, name: str) -> Path:
    other = dataset.with_name("alone")
    shutil.copytree(dataset / name, other / name)
    return other


def test_which_runs_ask_a_prior() -> None:
    settings = GenerateSettings()
    readers = {method.name for method in METHODS if method.reads_prior(settings)}
    assert readers == {method.name for method in METHODS} - {"recon", "mirror", "body"}
    mirrored = replace(settings, guidance="mirror")
    readers = {method.name for method in METHODS if method.reads_prior(mirrored)}
    assert readers == {"ref-sds", "ref-sds-global", "sds"}
    with pytest.raises(HumanRefError, match="none of the methods asks a prior"):
        choose_methods(("mirror", "body"), settings, prior_named=True)
    with pytest.raises(HumanRefError, match="No method"):
        choose_methods((), settings, prior_named=False)


def test_groups_stand_for_their_members_and_nothing_comes_twice() -> None:
    chosen = choose_methods(("sds", "all"), GenerateSettings(), prior_named=False)
    assert [method.name for method in chosen] == [
        "sds",
        *("standard", "recon", "mirror", "body", "ref-sds-global"),
    ]


def test_an_ablation_takes_one_term_away_and_nothing_else() -> None:
    prior = replace(GenerateSettings().prior, refine_from=0.8, kept_noises=0)
    base = replace(GenerateSettings(), prior=prior)
    gone = {
        "no-rec": ("rgb", "iou"),
        "no-sdf": ("sdf",),
        "no-norm": ("normal",),
        "no-smooth": ("smooth",),
        "no-perceptual": ("perceptual",),
    }
    (standard,) = choose_methods(("standard",), base, prior_named=False)
    assert standard.settings(base) == base
    for method in choose_methods(("ablations",), base, prior_named=False):
        if method.name not in gone:
            assert method.name == "ref-sds-global"
            continue
        run = method.settings(base)
        losses = run.optimization.losses
        assert {n for n, w in vars(losses).items() if w == 0.0} == set(gone[method.name])
        back = {name: getattr(base.optimization.losses, name) for name in gone[method.name]}
        whole = replace(run.optimization, losses=replace(losses, **back))
        assert replace(run, optimization=whole) == base
    # What never refines loses nothing: it is the same run, and is not made twice.
    never = replace(base, prior=replace(prior, refine_from=1.0))
    (bare_run,) = choose_methods(("no-perceptual",), never, prior_named=False)
    assert bare_run.settings(never) == never


def test_wins_are_counted_over_the_unseen_views() -> None:
    def scored(front: float, behind: float) -> dict[str, Any]:
        views = {f"{a:03d}": dict.fromkeys(UNSEEN_METRICS, behind) for a in AZIMUTHS if a}
        views["000"] = dict.fromkeys(UNSEEN_METRICS, front)
        return {"aligned": {"icp": {"views": {"each": views}}}}

    assert unseen_means(scored(9.0, 0.25))["contextual"] == 0.25
    subjects = [
        {"standard": scored(9.0, 1.0), "mirror": scored(0.0, 2.0)},
        {"standard": scored(0.0, 3.0), "mirror": scored(9.0, 2.0)},
        {"standard": scored(5.0, 1.0), "mirror": scored(5.0, 5.0)},
        {"standard": scored(1.0, 1.0)},
    ]
    wins = count_wins(subjects, ["standard", "mirror"])
    assert wins["perceptual"]["standard"] == {"mirror": {"won": 2, "of": 3}}
    assert wins["perceptual"]["mirror"] == {"standard": {"won": 1, "of": 3}}
    # More decibels are better.
    assert wins["psnr_db"]["standard"] == {"mirror": {"won": 1, "of": 3}}


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

"""Training of the lifting networks: what they see of people, what they learn, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
import torch
from toy_people import ToyBase

from backend.cli import app
from backend.errors import Cancelled, HumanRefError
from backend.events import ignore_events
from backend.fitting.lifter_weights import load_lifter, save_lifter
from backend.fitting.lifting import BONES, LANDMARKS, LandmarkPose, shown_places
from backend.perception.mediapipe_models import HolisticResult
from backend.training import lifter_samples
from backend.training.body_fit import BodyFitter
from backend.training.lifter_training import (
    LifterNetwork,
    LifterSamples,
    LifterTraining,
    explained,
    train_lifter,
)
from backend.training.normal_people import NormalPeople, make_normal_people, open_people
from backend.training.people_set import assets_digest
from backend.training.wardrobe import Wardrobe

QUICK = LifterTraining(steps=400, networks=2, width=48, dropout=0.0, noise=0.002)


def samples(n: int = 500, seed: int = 0) -> LifterSamples:
    """People whose slopes show in how far their landmarks lie apart and in the world's z."""
    rng = np.random.default_rng(seed)
    slopes = rng.uniform(-0.5, 0.5, (n, len(BONES)))
    flat = rng.normal(0.0, 0.2, (1, len(LANDMARKS), 2)) + rng.normal(0.0, 0.02, (n, 19, 2))
    world = np.zeros((n, len(LANDMARKS), 3))
    # Noisy depths at the landmarks of knees, ankles, elbows, wrists, hips and shoulders.
    index = [LANDMARKS.index(k) for k in (25, 26, 27, 28, 13, 14, 15, 16, 23, 11)]
    world[:, index, 2] = slopes + rng.normal(0.0, 0.1, slopes.shape)
    mirrored = [LANDMARKS.index(k) for k in (24, 12)]
    world[:, mirrored, 2] = -world[:, index[8:], 2]
    cues = np.random.default_rng(seed + 100).normal(2.0, 3.0, (n, 2, 29, 152)).astype(np.float16)
    # The left thigh's slope shows in the picture alone, at its middle.
    world[:, index[0], 2] = 0.0
    cues[:, 0, 19] = (slopes[:, :1] * 20.0).astype(np.float16)
    return LifterSamples(LandmarkPose(flat, world), cues, slopes)


def _of_twin(name: str) -> str:
    return name if name.startswith("cues") else f"layers.{name}"


def test_the_shipped_kind_of_network_equals_its_torch_twin(tmp_path: Path) -> None:
    weights = train_lifter(samples(60), replace(QUICK, steps=100), ignore_events)
    save_lifter(tmp_path / "weights", weights, {"steps": 100})
    lifter = load_lifter(tmp_path / "weights")
    pose = samples(1, seed=3).pose
    cues = samples(1, seed=3).cues[0, 0]
    mine, seen = LandmarkPose(pose.flat[0], pose.world[0]), np.ones(19, bool)
    seen[[8, 14]] = False
    scaled = (cues.astype(np.float32) - weights["cue_mean"]) / weights["cue_scale"]
    told = (mine.features(seen).astype(np.float32), scaled, shown_places(seen).astype(np.float32))
    twins = []
    for n in range(QUICK.networks):
        twin = LifterNetwork(QUICK.width, 0.0, QUICK.cue_width, 0.0).eval()
        state = {
            _of_twin(name.split(".", 1)[1]): torch.from_numpy(
                value.astype(np.float16).astype(np.float32)
            )
            for name, value in weights.items()
            if name.startswith(f"network{n}.")
        }
        twin.load_state_dict(state)
        with torch.no_grad():
            mean, log_sigma = twin(*(torch.from_numpy(each)[None] for each in told))
        twins.append((mean[0].numpy(), np.exp(2 * log_sigma[0].numpy())))
    means = np.stack([mean for mean, _ in twins])
    variance = np.mean([square for _, square in twins], 0) + means.var(0)
    mean, sigma = lifter.answer(mine, seen, cues)
    np.testing.assert_allclose(mean, means.mean(0), atol=1e-5)
    np.testing.assert_allclose(sigma, np.sqrt(variance), atol=1e-5)


def test_it_learns_what_landmarks_tell_and_how_sure_it_is(tmp_path: Path) -> None:
    learned, other = samples(), samples(200, seed=1)
    weights = train_lifter(learned, QUICK, ignore_events)
    save_lifter(tmp_path / "weights", weights, {})
    lifter = load_lifter(tmp_path / "weights")
    # Noise of 0.1 on a slope of standard deviation 0.29 leaves 12 % in the dark.
    assert min(explained(lifter, other)) > 0.6
    answers = [
        lifter.answer(LandmarkPose(f, w), np.ones(19, bool), c[0])
        for f, w, c in zip(other.pose.flat, other.pose.world, other.cues, strict=True)
    ]
    off = np.stack([m for m, _ in answers]) - other.slopes
    surprise = np.square(off / np.stack([s for _, s in answers])).mean()
    assert 0.35 < surprise < 2.0


def test_a_mirrored_person_has_mirrored_slopes() -> None:
    both = samples(40).with_mirrored()
    twice = LifterSamples(both.pose, both.cues, both.slopes).with_mirrored()
    np.testing.assert_allclose(twice.slopes[80 + 40 :], both.slopes[:40])
    np.testing.assert_allclose(twice.pose.flat[80 + 40 :], both.pose.flat[:40])
    assert not np.allclose(both.slopes[40:], both.slopes[:40])
    np.testing.assert_array_equal(both.cues[40:, 0], both.cues[:40, 1])


def test_equal_seeds_give_equal_weights() -> None:
    quick = replace(QUICK, steps=20)
    first, again = (train_lifter(samples(50), quick, ignore_events) for _ in range(2))
    other = train_lifter(samples(50), replace(quick, seed=1), ignore_events)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["network0.0.weight"], other["network0.0.weight"])


class Detector:
    """Sees made-up people, and nobody in every fifth picture."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._looked = 0

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def holistic(self, picture: Any) -> HolisticResult | None:
        assert picture.shape == (572, 572, 3)
        self._looked += 1
        if self._looked % 5 == 0:
            return None
        world = self._rng.normal(0.0, 0.1, (33, 3))
        world[[11, 12], 1], world[[23, 24], 1], world[[27, 28], 1] = -0.5, 0.0, 0.8
        body = np.concatenate([300 + 200 * world[:, :2], np.zeros((33, 1)), np.ones((33, 1))], 1)
        return HolisticResult(
            *(body, world, None, None, None, np.ones(picture.shape[:2], np.float64))
        )


@pytest.fixture
def people(tmp_path: Path, toy_assets: Path, toy_base: ToyBase) -> Path:
    folder = tmp_path / "people"
    settings = NormalPeople(count=12, seed=4, size=32)
    wardrobe = Wardrobe(toy_assets)
    open_people(folder, settings, assets_digest(wardrobe))
    fitter = BodyFitter(toy_base, toy_base.body)
    make_normal_people(folder, settings, wardrobe, toy_base, fitter, ignore_events)
    return folder


def test_the_command_looks_at_people_and_trains(
    tmp_path: Path,
    toy_assets: Path,
    people: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(lifter_samples, "MediapipeModels", Detector)
    out = tmp_path / "run"
    command = ("train-lifting", str(toy_assets), str(people), "-o", str(out))
    assert app.main([*command, "--steps", "0"]) == 2
    assert "--steps 0 makes no sense" in capsys.readouterr().err
    assert app.main([*command, "--steps", "100", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["people"] == 12
    # Twelve looked at, of whom two show nobody and one is kept for validation.
    assert result["seen"] == 9
    assert set(result["validation"]) == {"hip", "knee", "shoulder", "elbow", "hips", "shoulders"}
    assert load_lifter(Path(result["weights"])) is not None

    def nobody_looks() -> Detector:
        found = Detector()
        found._looked = -(10**9)
        return found

    # The second run sees nobody anew: what was seen is kept.
    monkeypatch.setattr(lifter_samples, "MediapipeModels", nobody_looks)
    assert app.main([*command, "--steps", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seen"] == 9


def test_bad_people_are_named(
    tmp_path: Path, toy_assets: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(folder: Path) -> str:
        out = tmp_path / "run"
        assert app.main(["train-lifting", str(toy_assets), str(folder), "-o", str(out)]) == 2
        assert not out.exists()
        return capsys.readouterr().err

    assert "no readable people.json" in refused(tmp_path / "nowhere")
    manifest = people / "people.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "assets": "others"}))
    assert "other assets" in refused(people)
    manifest.write_text(json.dumps(told))
    next(people.glob("train_*.npz")).unlink()
    assert "is missing" in refused(people)


def test_a_stop_keeps_what_was_seen(
    tmp_path: Path, toy_assets: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifter_samples, "MediapipeModels", Detector)
    monkeypatch.setattr(lifter_samples, "_SAVED_EVERY", 2)

    def stop_at(count: int) -> Callable[[Any], None]:
        def watch(event: Any) -> None:
            if getattr(event, "step", 0) == count:
                raise KeyboardInterrupt

        return watch

    from backend.body import load_body

    settings = NormalPeople(count=12, seed=4, size=32)
    kept = tmp_path / "samples.npz"
    args = (people, settings, Wardrobe(toy_assets), load_body(), kept)
    with pytest.raises((KeyboardInterrupt, Cancelled)):
        lifter_samples.see_people(*args, stop_at(7))
    with np.load(kept) as file:
        assert int(file["looked"]) == 6
    assert len(lifter_samples.see_people(*args, ignore_events).number) >= 9
    more = tmp_path / "more"
    open_people(more, NormalPeople(count=12, seed=5, size=32), "assets")
    others = (more, replace(settings, seed=5), *args[2:])
    with pytest.raises(HumanRefError) as caught:
        lifter_samples.see_people(*others, ignore_events)
    assert caught.value.code == "output_exists"
    fewer = (people, replace(settings, count=3), *args[2:])
    with pytest.raises(HumanRefError):
        lifter_samples.see_people(*fewer, ignore_events)

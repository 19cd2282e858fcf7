"""Training of the normal network: its people, its pictures, its loss, and that a stop changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_people import ToyBase

from backend.cli import app, train_normals_command
from backend.errors import Cancelled, HumanRefError
from backend.events import Event, Step, ignore_events
from backend.perception.compact_normal_network import NormalNetworkShape, PredictedNormals
from backend.perception.normal_weights import load_normal_network
from backend.training import base_body
from backend.training.body_fit import BodyFitter
from backend.training.normal_metrics import mean_angle, measure
from backend.training.normal_people import NormalPeople, make_normal_people, open_people
from backend.training.normal_pictures import plain_pair, read_sample, spoiled_pair
from backend.training.normal_training import (
    CHECKPOINT,
    NormalTrainer,
    NormalTraining,
    TrainingPeople,
    normal_network_loss,
)
from backend.training.wardrobe import Wardrobe

SIZE = 64
TINY = NormalNetworkShape(fold=4, widths=(16, 16), blocks=1, groups=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def people(
    toy_assets: Path, toy_base: ToyBase, tmp_path_factory: pytest.TempPathFactory
) -> TrainingPeople:
    folder = tmp_path_factory.mktemp("normal_people")
    settings = NormalPeople(count=12, seed=4, size=SIZE)
    open_people(folder, settings, "assets")
    fitter = BodyFitter(toy_base, toy_base.body)
    wardrobe = Wardrobe(toy_assets)
    made = make_normal_people(folder, settings, wardrobe, toy_base, fitter, ignore_events)
    assert made == 12
    assert sum(f.stat().st_size for f in folder.iterdir()) < 1.3 * settings.needed_bytes()
    train = [folder / name for name in settings.names("train")]
    return TrainingPeople(
        tuple(file for file in train if file.exists()),
        tuple(folder / name for name in settings.names("validation")),
    )


def test_a_sample_holds_both_sides_in_one_pixel_grid(people: TrainingPeople) -> None:
    for fit in (0, 1):
        sample = read_sample(people.train[0], fit)
        covered, behind = sample.front.any(-1), sample.back.any(-1)
        # Seen from exactly behind and mirrored, a person has the same outline.
        assert 0.02 < covered.mean() < 0.5
        assert (covered & behind).sum() > 0.97 * (covered | behind).sum()
        assert (sample.front[covered][:, 2] > -0.05).all()
        assert (sample.back[behind][:, 2] < 0.05).all()
        naked = sample.region > 0
        assert (naked & covered).sum() > 0.8 * naked.sum()
        for normals in (sample.front[covered], sample.body_back[naked]):
            np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1.0, atol=1e-5)
        # A surface that turns left turns left from both sides: x agrees near the outline.
        both = covered & behind & (np.abs(sample.front[..., 0]) > 0.8)
        agree = np.sign(sample.front[both][:, 0]) == np.sign(sample.back[both][:, 0])
        assert agree.mean() > 0.9


def test_people_are_kept_and_strangers_left_alone(people: TrainingPeople, tmp_path: Path) -> None:
    folder = people.train[0].parent
    open_people(folder, NormalPeople(count=24, seed=4, size=SIZE), "assets")
    assert json.loads((folder / "people.json").read_text())["count"] == 24
    for other in (NormalPeople(12, 5, SIZE), NormalPeople(12, 4, SIZE + 32)):
        with pytest.raises(HumanRefError) as caught:
            open_people(folder, other, "assets")
        assert caught.value.code == "output_exists"
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(HumanRefError):
        open_people(tmp_path, NormalPeople(12, 4, SIZE), "assets")
    assert all(file.exists() for file in people.train)


def test_spoiled_pairs_stay_true_to_their_targets(people: TrainingPeople) -> None:
    sample = read_sample(people.train[1], 0)
    plain = plain_pair(sample)
    truth = torch.from_numpy(plain.front)[None]
    fit = torch.from_numpy(plain.conditions[None, 4:7])
    there = (plain.weight > 0) & plain.conditions[4:7].any(0)
    near = mean_angle(fit * torch.from_numpy(there), truth * torch.from_numpy(there))
    sizes = set()
    for seed in range(12):
        pair = spoiled_pair(sample, np.random.default_rng(seed))
        again = spoiled_pair(sample, np.random.default_rng(seed))
        np.testing.assert_array_equal(pair.conditions, again.conditions)
        assert np.abs(pair.conditions).max() <= 1.0 + 1e-5
        counted = pair.weight > 0
        assert pair.front[:, counted].any(0).all()
        assert (pair.conditions[3][pair.weight == 1.0] > 0.3).all()
        # Moved, mirrored or not, the body still lies under the clothes it came with.
        both = torch.from_numpy(counted & pair.conditions[4:7].any(0))
        body, front = torch.from_numpy(pair.conditions[4:7]), torch.from_numpy(pair.front)
        assert mean_angle((body * both)[None], (front * both)[None]) < near + 6.0
        rows = np.nonzero(pair.front.any((0, 2)))[0]
        sizes.add(int(np.ptp(rows)))
    assert len(sizes) > 3


def test_the_loss_is_least_at_the_truth_and_at_the_true_error() -> None:
    torch.manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(1, 3, 8, 8), dim=1)
    turned = torch.nn.functional.normalize(truth + 0.3 * torch.randn(1, 3, 8, 8), dim=1)
    weight = torch.ones(1, 8, 8)
    still = torch.zeros(1, 8, 8)

    def loss(front: torch.Tensor, log_error: torch.Tensor, back: torch.Tensor = truth) -> float:
        predicted = PredictedNormals(front, back, log_error, still)
        return float(normal_network_loss(predicted, truth, truth, weight))

    assert loss(truth, still) == pytest.approx(0.0, abs=1e-3)
    assert loss(turned, still) > 0.05
    assert loss(truth, still, turned) == pytest.approx(loss(turned, still))
    chord = (turned - truth).norm(dim=1)
    best = loss(turned, chord.log())
    for wrong in (0.5, 2.0):
        assert loss(turned, (wrong * chord).log()) > best
    half_turned = torch.where(torch.arange(8) < 4, turned, truth)
    left_out = torch.where(torch.arange(8) < 4, 0.0, weight)
    predicted = PredictedNormals(half_turned, truth, still, still)
    assert float(normal_network_loss(predicted, truth, truth, left_out)) < 1e-3


def test_a_mean_angle_is_a_mean_of_angles() -> None:
    truth = torch.zeros(1, 3, 1, 3)
    truth[0, 2, 0, :2] = 1.0
    tilted = torch.tensor([0.0, np.sin(0.5), np.cos(0.5)], dtype=torch.float32)
    estimate = torch.stack([truth[0, :, 0, 0], tilted, tilted], -1)[None, :, None]
    assert mean_angle(estimate, truth) == pytest.approx(np.degrees(0.25), abs=0.02)


def trainer(folder: Path, people: TrainingPeople, steps: int) -> NormalTrainer:
    folder.mkdir(exist_ok=True)
    settings = NormalTraining(steps, seed=3, batch=2, warmup=2, validate_every=4, shape=TINY)
    return NormalTrainer(folder, people, settings, "cpu")


def test_a_stopped_training_goes_on_bit_by_bit(people: TrainingPeople, tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", people, 8)
    score = whole.run(ignore_events)

    def stop(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="5 of 8"):
        trainer(tmp_path / "stopped", people, 8).run(stop)
    again = trainer(tmp_path / "stopped", people, 8)
    assert again.step == 5
    assert again.run(ignore_events) == score
    for name, value in whole.average.state_dict().items():
        assert torch.equal(again.average.state_dict()[name], value), name
    names = {file.name for file in (tmp_path / "whole").iterdir()}
    assert names == {CHECKPOINT, "weights", "history.json", "sheet_000004.png", "sheet_000008.png"}
    shipped = load_normal_network(tmp_path / "whole" / "weights")
    again_score = measure(shipped, people.validation, CPU, half=False)
    assert again_score.front_deg == pytest.approx(score.front_deg, abs=0.05)
    assert 0.0 < score.body_front_deg < 60.0

    with pytest.raises(HumanRefError) as caught:
        trainer(tmp_path / "stopped", people, 9)
    assert caught.value.code == "checkpoint_other"
    (tmp_path / "stopped" / CHECKPOINT).write_bytes(b"half a file")
    with pytest.raises(HumanRefError) as caught:
        trainer(tmp_path / "stopped", people, 8)
    assert caught.value.code == "checkpoint_unreadable"


def test_it_learns(people: TrainingPeople, tmp_path: Path) -> None:
    settings = NormalTraining(60, batch=2, warmup=5, learning_rate=4e-3, ema=0.8, shape=TINY)
    learner = NormalTrainer(tmp_path, TrainingPeople(people.train[:1], ()), settings, "cpu")
    before = measure(learner.average, people.train[:1], CPU, half=False)
    assert before.front_deg == pytest.approx(before.body_front_deg, abs=0.01)
    for _ in range(60):
        learner.train_step()
    after = measure(learner.average, people.train[:1], CPU, half=False)
    assert after.front_deg < 0.85 * before.front_deg
    assert after.back_deg < 0.85 * before.back_deg


def test_the_command_makes_people_and_weights(
    tmp_path: Path,
    toy_assets: Path,
    toy_base: ToyBase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(base_body, "AnnyBase", lambda: toy_base)
    monkeypatch.setattr(train_normals_command, "SIZE", 32)
    common = ("-o", str(tmp_path / "run"), "--people", "12", "--batch", "1", "--threads", "1")
    common = ("train-normals", str(toy_assets), *common, "--device", "cpu")
    assert app.main([*common, "--steps", "0"]) == 2
    assert "--steps 0 makes no sense" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert app.main([*common, "--steps", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["validation"]["front_deg"] > 0.0
    assert load_normal_network(Path(result["weights"])).shape == NormalNetworkShape()
    assert app.main([*common, "--steps", "2"]) == 2
    assert "other settings" in capsys.readouterr().err

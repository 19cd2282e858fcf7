"""Training of the compact prior: its loss, its pace, and that stopping changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ellipsoid_people import tiny_network
from prior_people import tiny_trainer, tiny_training

from backend.errors import HumanRefError
from backend.events import Event, Step, ignore_events
from backend.guidance.compact_network import fold, without_warp
from backend.training.prior_batches import exact_batch
from backend.training.prior_pass import beside
from backend.training.prior_store import PeopleSplit
from backend.training.prior_training import (
    CHECKPOINT,
    PriorTrainer,
    denoising_loss,
    train_prior,
)


def test_the_loss_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    found, wanted = rng.normal(size=(2, 3, 3, 8, 8))
    weight = rng.uniform(0.2, 1.0, (3, 1, 8, 8))
    # Signal-to-noise ratios 99, 1 and 1/99: cut off above, as it is, cut off below.
    alpha_bar = np.array([0.99, 0.5, 0.01])
    expected_square, expected_edge = 0.0, 0.0
    for k, snr in enumerate((4.0, 1.0, 0.25)):
        w = weight[k, 0]
        error = found[k] - wanted[k]
        expected_square += snr * np.mean(error**2 * w) / w.mean() / 3
        across = np.abs(error[:, :, 1:] - error[:, :, :-1]) * w[:, 1:]
        down = np.abs(error[:, 1:] - error[:, :-1]) * w[1:]
        expected_edge += math.sqrt(snr) * (across.mean() + down.mean()) / w.mean() / 3

    def loss(sharpness: float) -> float:
        pictures = (fold(torch.from_numpy(each)) for each in (found, wanted))
        return float(
            denoising_loss(*pictures, *map(torch.from_numpy, (alpha_bar, weight)), sharpness)
        )

    assert loss(0.0) == pytest.approx(expected_square)
    assert loss(0.5) == pytest.approx(expected_square + 0.05 * expected_edge)


def test_the_pace_rises_holds_and_falls(packed: PeopleSplit) -> None:
    trainer = tiny_trainer(packed.train, tiny_training(1000, warm_up=10, cool_from=0.6))
    assert trainer.pace(0) == pytest.approx(0.1)
    assert trainer.pace(9) == trainer.pace(300) == trainer.pace(600) == pytest.approx(1.0)
    assert trainer.pace(800) == pytest.approx(0.02 + 0.98 * 0.5)
    assert trainer.pace(1000) == pytest.approx(0.02)


def equal(one: PriorTrainer, two: PriorTrainer) -> bool:
    pairs = [(one.network, two.network), (one.average, two.average)]
    return all(
        torch.equal(a, b)
        for first, second in pairs
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_two_and_two_steps_are_four(packed: PeopleSplit, tmp_path: Path) -> None:
    settings = tiny_training(4, perceptual=0.015)
    whole = tiny_trainer(packed.train, settings)
    train_prior(whole, tmp_path, ignore_events, checkpoint_every=100)
    assert (whole.step, whole.saved, len(whole.losses)) == (4, 4, 4)

    def stop(event: Event) -> None:
        assert isinstance(event, Step)
        assert event.total == 4
        if event.step == 2:
            raise KeyboardInterrupt

    folder = tmp_path / "stopped"
    folder.mkdir()
    stopped = tiny_trainer(packed.train, settings)
    assert not stopped.resume(folder)
    with pytest.raises(KeyboardInterrupt):
        train_prior(stopped, folder, stop, checkpoint_every=100)
    torch.manual_seed(99)
    again = tiny_trainer(packed.train, settings)
    assert again.resume(folder)
    assert (again.step, again.saved) == (2, 2)
    assert not equal(again, whole)
    train_prior(again, folder, ignore_events)
    assert equal(again, whole)
    assert again.losses == whole.losses
    assert not equal(tiny_trainer(packed.train, tiny_training(4, seed=1)), again)


def test_the_average_follows_the_weights(packed: PeopleSplit) -> None:
    trainer = tiny_trainer(packed.train, tiny_training(4, learning_rate=0.1))
    before = [p.clone() for p in trainer.average.parameters()]
    trainer.advance()
    keep = 1.0 / 13.0
    for old, now, mean in zip(
        before, trainer.network.parameters(), trainer.average.parameters(), strict=True
    ):
        torch.testing.assert_close(mean, old * keep + now * (1.0 - keep))
    # Its biases are its own, not those of the network that is trained.
    for layer, bias in zip(trainer.average.layers, trainer.average.biases, strict=True):
        assert trainer.average.unet.get_submodule(layer.name).processor._bias is bias


def test_half_a_step_is_never_kept(
    packed: PeopleSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = tiny_trainer(packed.train, tiny_training(3))
    train_prior(trainer, tmp_path, ignore_events, checkpoint_every=1)
    kept = (tmp_path / CHECKPOINT).read_bytes()
    longer = tiny_trainer(packed.train, tiny_training(6))
    longer.resume(tmp_path)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(longer._optimizer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_prior(longer, tmp_path, ignore_events, checkpoint_every=1)
    assert (tmp_path / CHECKPOINT).read_bytes() == kept
    assert longer.saved == 3


def test_checkpoints_of_others_and_broken_ones_are_refused(
    packed: PeopleSplit, tmp_path: Path
) -> None:
    settings = tiny_training(4)
    tiny_trainer(packed.train, settings).save(tmp_path)

    def refused(other: PriorTrainer) -> str:
        with pytest.raises(HumanRefError) as caught:
            other.resume(tmp_path)
        return caught.value.code

    for changed in (replace(settings, seed=1), replace(settings, ema=0.9)):
        assert refused(tiny_trainer(packed.train, changed)) == "checkpoint_other"
    more = tiny_trainer(packed.train, replace(settings, steps=9))
    assert more.resume(tmp_path)
    whole = (tmp_path / CHECKPOINT).read_bytes()
    for broken in (whole[: len(whole) // 2], b"not a checkpoint", b""):
        (tmp_path / CHECKPOINT).write_bytes(broken)
        assert refused(tiny_trainer(packed.train, settings)) == "checkpoint_broken"


def test_targets_alone_know_nothing_of_the_photo(packed: PeopleSplit) -> None:
    network = tiny_network()
    batch = exact_batch(packed.train[0], [4, 8], width=64)
    stranger = exact_batch(packed.train[1], [4, 8], width=64)
    other = replace(batch, photo=stranger.photo, photo_maps=stranger.photo_maps)
    t, alone = torch.tensor([200, 800]), torch.tensor([True, False])
    maps = without_warp(batch.maps, alone)
    noisy = torch.full_like(batch.clean, 0.3)
    one, two = (beside(network, each, noisy, t, maps, alone) for each in (batch, other))
    torch.testing.assert_close(one[0], two[0], rtol=0, atol=1e-6)
    assert (one[1] - two[1]).abs().max() > 1e-4


def test_it_learns(packed: PeopleSplit) -> None:
    settings = tiny_training(50, learning_rate=5e-3, warm_up=5)
    trainer = tiny_trainer(packed.train[:1], settings)
    for _ in range(50):
        trainer.advance()
    assert np.mean(trainer.losses[-10:]) < 0.6 * np.mean(trainer.losses[:5])

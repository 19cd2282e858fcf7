"""Training of the networks that lift landmarks: minutes on one core."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backend.events import OnEvent, Step
from backend.fitting.lifting import (
    BONES,
    CUE_WIDTH,
    LANDMARKS,
    LOG_SIGMA,
    MIRRORED,
    PLACES,
    LandmarkPose,
    Lifter,
    shown_places,
)

STAGE = "optimization"
_MIRRORED_BONES = (1, 0, 3, 2, 5, 4, 7, 6, 8, 9)
# Signs of the slopes of a mirrored person: limbs change sides, lines across the body also direction.
_MIRRORED_SIGN = np.array([1.0] * 8 + [-1.0] * 2)
# Parts that a photo cuts off or hides, as landmarks, and how often.
_HIDDEN = (
    ((25, 26, 27, 28, 29, 30, 31, 32), 0.15),
    ((27, 28, 29, 30, 31, 32), 0.1),
    ((13, 15), 0.07),
    ((14, 16), 0.07),
    ((15,), 0.05),
    ((16,), 0.05),
)
_EDGE_QUANTILE = 0.98


@dataclass(frozen=True)
class LifterTraining:
    """Equal settings on one kind of CPU give equal weights."""

    steps: int = 8000
    seed: int = 0
    networks: int = 3
    width: int = 192
    batch: int = 128
    no_cues: float = 0.15
    """Share of people whose picture is not shown: the answer for pictures that are no photos."""
    learning_rate: float = 2e-3
    """Of AdamW at its highest; one cycle up and down."""
    dropout: float = 0.25
    cue_width: int = 32
    """Numbers that are made of a place's cues."""
    cue_dropout: float = 0.25
    """Photos look other than drawings: no single feature is to be relied on."""
    perspective: float = 0.1
    """Landmarks a trunk's length nearer to the camera grow by up to this: photos are no drawings."""
    noise: float = 0.01
    """Of landmarks, in lengths of the trunk; world landmarks by twice as much."""


@dataclass(frozen=True)
class LifterSamples:
    """Poses that a detector saw, and their true slopes."""

    pose: LandmarkPose
    cues: Float[np.ndarray, "b 2 29 152"]
    """What the picture shows, and its mirror image."""
    slopes: Float[np.ndarray, "b 10"]

    def with_mirrored(self) -> LifterSamples:
        """Everyone and their mirror image."""
        order, flat, world = list(MIRRORED), self.pose.flat, self.pose.world
        other = self.slopes[:, list(_MIRRORED_BONES)] * _MIRRORED_SIGN
        return LifterSamples(
            LandmarkPose(
                np.concatenate([flat, flat[:, order] * (-1.0, 1.0)]),
                np.concatenate([world, world[:, order] * (-1.0, 1.0, 1.0)]),
            ),
            np.concatenate([self.cues, self.cues[:, ::-1]]),
            np.concatenate([self.slopes, other]),
        )

    def take(self, index: Bool[np.ndarray, "b"]) -> LifterSamples:
        """Some of them."""
        pose = LandmarkPose(self.pose.flat[index], self.pose.world[index])
        return LifterSamples(pose, self.cues[index], self.slopes[index])


class LifterNetwork(nn.Module):
    """The reference of :class:`backend.fitting.lifting.Lifter`'s networks."""

    def __init__(self, width: int, dropout: float, cue_width: int, cue_dropout: float) -> None:
        super().__init__()
        self.cues = nn.Linear(CUE_WIDTH, cue_width)
        sizes = [len(LANDMARKS) * 6 + len(PLACES) * cue_width, width, width, width]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.layers.append(nn.Linear(width, 2 * len(BONES)))
        self.dropout, self.cue_dropout = nn.Dropout(dropout), nn.Dropout(cue_dropout)

    def forward(
        self,
        features: Float[Tensor, "b i"],
        cues: Float[Tensor, "b 29 152"],
        places: Float[Tensor, "b 29"],
    ) -> tuple[Tensor, Tensor]:
        """Means and log standard deviations of the slopes.

        Args:
            cues: scaled to mean 0 and deviation 1.
            places: 1 where they are seen.
        """
        looked = self.cue_dropout(torch.relu(self.cues(self.cue_dropout(cues))))
        first, *middle, last = self.layers
        told = torch.cat([features, (looked * places[..., None]).flatten(1)], 1)
        x = self.dropout(torch.relu(first(told)))
        for layer in middle:
            x = x + self.dropout(torch.relu(layer(x)))
        mean, log_sigma = last(x).chunk(2, -1)
        return mean, log_sigma.clamp(*LOG_SIGMA)


def train_lifter(
    samples: LifterSamples, settings: LifterTraining, on_event: OnEvent
) -> dict[str, Float[np.ndarray, "..."]]:
    """Weights of :class:`backend.fitting.lifting.Lifter`, as float32."""
    samples = samples.with_mirrored()
    networks = []
    for k in range(settings.networks):
        networks.append(_train(samples, settings, k, on_event))
    return weights_of(networks, samples)


def explained(lifter: Lifter, samples: LifterSamples) -> list[float]:
    """Share of the variance of each kind of slope that is told (R^2): four limbs, hips, shoulders."""
    pose = samples.pose
    everything = np.ones(len(LANDMARKS), bool)
    answers = [
        lifter.answer(LandmarkPose(flat, world), everything, cues[0])[0]
        for flat, world, cues in zip(pose.flat, pose.world, samples.cues, strict=True)
    ]
    error = np.square(np.stack(answers) - samples.slopes).mean(0)
    share = error / samples.slopes.var(0)
    both_sides = share[:8].reshape(4, 2).mean(1)
    return [float(1.0 - each) for each in (*both_sides, *share[8:])]


def weights_of(
    networks: list[LifterNetwork], samples: LifterSamples
) -> dict[str, Float[np.ndarray, "..."]]:
    """The networks' layers, and the shape of the cloud of training poses."""
    found: dict[str, np.ndarray] = {}
    for n, network in enumerate(networks):
        layers = {"cues": network.cues, **{str(k): x for k, x in enumerate(network.layers)}}
        for k, layer in layers.items():
            for name, value in layer.named_parameters():
                found[f"network{n}.{k}.{name}"] = value.detach().numpy().astype(np.float32)
    both = np.concatenate([samples.pose.flat, samples.pose.world], -1)
    cloud = both.reshape(len(both), -1)
    mean, covariance = cloud.mean(0), np.cov(cloud.T)
    covariance += 1e-3 * np.eye(len(mean))
    off = cloud - mean
    square = (off * np.linalg.solve(covariance, off.T).T).sum(1) / len(mean)
    found["cue_mean"], found["cue_scale"] = cue_scaling(samples)
    found["mean"], found["covariance"] = mean.astype(np.float32), covariance.astype(np.float32)
    found["usual"] = np.array([np.quantile(square, _EDGE_QUANTILE)], np.float32)
    return found


def cue_scaling(
    samples: LifterSamples,
) -> tuple[Float[np.ndarray, "152"], Float[np.ndarray, "152"]]:
    """Mean and standard deviation of each of the cues' numbers."""
    rows = samples.cues[:, 0].reshape(-1, CUE_WIDTH).astype(np.float32)
    return rows.mean(0), rows.std(0) + 1e-3


def _train(
    samples: LifterSamples, settings: LifterTraining, number: int, on_event: OnEvent
) -> LifterNetwork:
    seed = settings.seed * 1000 + number
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LifterNetwork(
            settings.width, settings.dropout, settings.cue_width, settings.cue_dropout
        )
        mean_cue, scale_cue = cue_scaling(samples)
        optimizer = torch.optim.AdamW(
            network.parameters(), settings.learning_rate, weight_decay=0.02
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, settings.steps
        )
        total = settings.steps * settings.networks
        for step in range(settings.steps):
            index = rng.integers(len(samples.slopes), size=settings.batch)
            features, seen, told = _spoiled(samples.pose, index, settings, rng)
            cues = (samples.cues[index, 0].astype(np.float32) - mean_cue) / scale_cue
            places = shown_places(seen) & (rng.random(len(index)) >= settings.no_cues)[:, None]
            mean, log_sigma = network(
                torch.from_numpy(features.astype(np.float32)),
                torch.from_numpy(cues),
                torch.from_numpy(places.astype(np.float32)),
            )
            wanted = torch.from_numpy(samples.slopes[index].astype(np.float32))
            surprise = (mean - wanted).square() * torch.exp(-2.0 * log_sigma) / 2.0 + log_sigma
            loss = (surprise * torch.from_numpy(told)).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if step % 200 == 199:
                done = number * settings.steps + step + 1
                on_event(Step(STAGE, done, total, 0.0, {"loss": loss.item()}))
    return network.eval().requires_grad_(False)


def _spoiled(
    pose: LandmarkPose,
    index: np.ndarray,
    settings: LifterTraining,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "b 114"], Bool[np.ndarray, "b 19"], Float[np.ndarray, "b 10"]]:
    """Features with a camera's perspective, noise and hidden parts; the landmarks that are left, and
    which bones can still be told."""
    flat, world = pose.flat[index], pose.world[index]
    n = len(index)
    near = rng.uniform(-settings.perspective, settings.perspective, (n, 1, 1))
    flat = flat / np.maximum(1.0 + near * flat[..., 1:], 0.5)
    flat = flat * (1.0 + 3.0 * settings.noise * rng.normal(size=(n, 1, 2)))
    flat = flat + settings.noise * rng.normal(size=flat.shape)
    world = world + 2.0 * settings.noise * rng.normal(size=world.shape)
    seen = np.ones((n, len(LANDMARKS)), bool)
    for landmarks, share in _HIDDEN:
        hidden = rng.random(n) < share
        for landmark in landmarks:
            seen[hidden, LANDMARKS.index(landmark)] = False
    told = shown_places(seen)[:, len(LANDMARKS) :]
    return LandmarkPose(flat, world).features(seen), seen, np.asarray(told, np.float32)

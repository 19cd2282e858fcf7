"""Training of the normal network: one loop that can stop anywhere and go on bit by bit the same."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import Cancelled, HumanRefError
from backend.events import OnEvent, Step
from backend.files import write_whole
from backend.perception.compact_normal_network import (
    NormalNetwork,
    NormalNetworkShape,
    PredictedNormals,
)
from backend.perception.normal_weights import save_normal_network
from backend.training.normal_metrics import NormalScore, measure, sheet
from backend.training.normal_pictures import NormalPair, read_sample, spoiled_pair
from backend.training.normal_samples import FIT_ERRORS

STAGE = "optimization"
CHECKPOINT = "checkpoint.pt"
WEIGHTS_FOLDER = "weights"
_EDGE_GAIN, _EDGE_MOST = 4.0, 3.0
_CONFIDENCE_SHARE = 0.05
"""Small: learning where it errs must not cost what it knows."""


@dataclass(frozen=True)
class NormalTraining:
    """What makes a training what it is; equal settings on one CPU give equal weights."""

    steps: int
    seed: int = 0
    batch: int = 6
    learning_rate: float = 1.5e-3
    """Of AdamW at its highest, after ``warmup`` steps; falls along a cosine to 2 %."""
    warmup: int = 100
    ema: float = 0.998
    """Of the averaged weights, which are those that are kept; less in the first steps."""
    half: bool = False
    """bfloat16 for the convolutions: 0.17 s a person and core against 0.28 where the processor has it."""
    validate_every: int = 400
    shape: NormalNetworkShape = field(default_factory=NormalNetworkShape)


@dataclass(frozen=True)
class TrainingPeople:
    """Files of samples of both splits."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]


class NormalTrainer:
    """A network, its average and its optimizer, kept in ``folder`` as one checkpoint."""

    def __init__(
        self, folder: Path, people: TrainingPeople, settings: NormalTraining, device: str
    ) -> None:
        """New, or where the folder's checkpoint stands.

        Raises:
            HumanRefError: ``checkpoint_other`` when it belongs to a training with other settings,
                ``checkpoint_unreadable``.
        """
        self.folder, self.people, self.settings = folder, people, settings
        self._device = torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self._network = NormalNetwork(settings.shape)
        self._network.to(self._device)
        self.average = NormalNetwork(settings.shape).to(self._device).requires_grad_(False)
        self.average.load_state_dict(self._network.state_dict())
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), settings.learning_rate, (0.9, 0.98), weight_decay=0.01
        )
        self.step = 0
        self.history: list[dict[str, float]] = []
        if (folder / CHECKPOINT).is_file():
            self._restore()

    def run(self, on_event: OnEvent, clock: Callable[[], float] = time.monotonic) -> NormalScore:
        """Train to the last step and write the averaged weights; the score of all validation people.

        Raises:
            Cancelled: the observer raised KeyboardInterrupt between two steps; the checkpoint is
                written and the same call goes on after it.
        """
        total, begun, start = self.settings.steps, self.step, clock()
        while self.step < total:
            loss = self.train_step()
            try:
                if self.step % self.settings.validate_every == 0:
                    self._look()
                each = (clock() - start) / (self.step - begun)
                on_event(Step(STAGE, self.step, total, each * (total - self.step), {"loss": loss}))
            except KeyboardInterrupt:
                self.save()
                raise Cancelled(
                    f"Stopped after {self.step} of {total} steps.",
                    "The same command goes on there.",
                ) from None
        self.save()
        score = measure(self.average, self.people.validation, self._device, half=False)
        save_normal_network(self.folder / WEIGHTS_FOLDER, self.average, self._record(score))
        return score

    def train_step(self) -> float:
        """One update; everything random in it follows from the seed and the step alone."""
        settings = self.settings
        pairs = self._draw()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.step, settings)
        conditions = self._stack([pair.conditions for pair in pairs])
        with torch.autocast(self._device.type, torch.bfloat16, enabled=settings.half):
            predicted = self._network(conditions)
        loss = normal_network_loss(
            predicted,
            self._stack([pair.front for pair in pairs]),
            self._stack([pair.back for pair in pairs]),
            self._stack([pair.weight for pair in pairs]),
        )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        keep = min(settings.ema, self.step / (self.step + 10.0))
        with torch.no_grad():
            for mean, now in zip(
                self.average.parameters(), self._network.parameters(), strict=True
            ):
                mean.lerp_(now, 1.0 - keep)
        return float(loss.detach())

    def _draw(self) -> list[NormalPair]:
        """The step's people: every one once before any comes again."""
        files, batch, seed = self.people.train, self.settings.batch, self.settings.seed
        rng = np.random.default_rng((seed, 1, self.step))
        pairs = []
        for k in range(self.step * batch, (self.step + 1) * batch):
            order = np.random.default_rng((seed, 2, k // len(files))).permutation(len(files))
            fit = int(rng.integers(len(FIT_ERRORS)))
            sample = read_sample(files[int(order[k % len(files)])], fit)
            pairs.append(spoiled_pair(sample, rng))
        return pairs

    def _stack(self, arrays: list[Any]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).to(self._device)

    def _look(self) -> None:
        """Measure on a part of the validation people, draw the sheet, keep everything."""
        some = self.people.validation[:48]
        score = measure(self.average, some, self._device, half=self.settings.half)
        self.history.append({"step": self.step, **asdict(score)})
        picture = sheet(self.average, self.people.validation[:6], self._device)
        write_whole(self.folder / f"sheet_{self.step:06d}.png", picture)
        history = json.dumps(self.history, indent=1) + "\n"
        write_whole(self.folder / "history.json", history.encode())
        self.save()

    def _record(self, score: NormalScore) -> dict[str, Any]:
        settings = {k: v for k, v in asdict(self.settings).items() if k != "shape"}
        counts = {"train": len(self.people.train), "validation": len(self.people.validation)}
        return {"settings": settings, "people": counts, "validation": asdict(score)}

    def save(self) -> None:
        """Write the checkpoint: whole or not at all."""
        buffer = io.BytesIO()
        torch.save(
            {
                "settings": json.dumps(asdict(self.settings)),
                "people": len(self.people.train),
                "step": self.step,
                "history": self.history,
                "network": self._network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
            buffer,
        )
        write_whole(self.folder / CHECKPOINT, buffer.getvalue())

    def _restore(self) -> None:
        path = self.folder / CHECKPOINT
        try:
            kept = torch.load(path, map_location=self._device, weights_only=True)
            mine = json.dumps(asdict(self.settings)), len(self.people.train)
            if (kept["settings"], kept["people"]) != mine:
                raise HumanRefError(
                    "checkpoint_other",
                    f"{path} belongs to a training with other settings or people.",
                    "Give the options it was begun with, or another folder.",
                )
            self._network.load_state_dict(kept["network"])
            self.average.load_state_dict(kept["average"])
            self._optimizer.load_state_dict(kept["optimizer"])
            self.step, self.history = kept["step"], kept["history"]
        except HumanRefError:
            raise
        except Exception as error:
            raise HumanRefError(
                "checkpoint_unreadable",
                f"{path} cannot be read ({type(error).__name__}).",
                "Remove it to start the training again.",
            ) from error


def learning_rate(step: int, settings: NormalTraining) -> float:
    """Linear to the top, then a cosine down to 2 % of it."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    along = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * along)))


def normal_network_loss(
    predicted: PredictedNormals,
    front: Float[Tensor, "b 3 n n"],
    back: Float[Tensor, "b 3 n n"],
    weight: Float[Tensor, "b n n"],
) -> Float[Tensor, ""]:
    """L1 and cosine distance, more at folds and edges, and the likelihood of the expected error.

    The expected error is the scale of an exponential distribution of the chord |estimate - truth|.
    """
    loss = torch.zeros((), device=weight.device)
    for estimate, log_error, truth in (
        (predicted.front, predicted.front_log_error, front),
        (predicted.back, predicted.back_log_error, back),
    ):
        counted = weight * (truth != 0.0).any(1)
        emphasis = counted * (1.0 + _edges(truth))
        cosine = (estimate * truth).sum(1)
        wrong = 0.5 * (estimate - truth).abs().sum(1) + (1.0 - cosine)
        loss = loss + (wrong * emphasis).sum() / emphasis.sum().clamp_min(1.0)
        chord = (2.0 - 2.0 * cosine.detach()).clamp_min(0.0).sqrt()
        surprise = chord * torch.exp(-log_error) + log_error
        share = _CONFIDENCE_SHARE * (surprise * counted).sum() / counted.sum().clamp_min(1.0)
        loss = loss + share
    return loss


def _edges(truth: Float[Tensor, "b 3 n n"]) -> Float[Tensor, "b n n"]:
    """How quickly the true normals turn, 0 where they are flat, at most ``_EDGE_MOST``."""
    inside = (truth != 0.0).any(1)
    steep = torch.zeros_like(truth[:, 0])
    for axis in (1, 2):
        n = truth.shape[axis + 1] - 1
        first, second = truth.narrow(axis + 1, 0, n), truth.narrow(axis + 1, 1, n)
        both = inside.narrow(axis, 0, n) & inside.narrow(axis, 1, n)
        turn = (first - second).abs().sum(1) * both
        steep.narrow(axis, 0, n).add_(turn)
    return (_EDGE_GAIN * steep).clamp_max(_EDGE_MOST)

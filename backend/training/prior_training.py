"""Training the compact prior: a seeded loop that can stop anywhere and go on bit for bit."""

from __future__ import annotations

import copy
import io
import math
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.events import OnEvent, Step
from backend.files import write_whole
from backend.guidance.compact_network import (
    CompactConfig,
    CompactNetwork,
    noise_schedule,
    unfold,
    without_geometry,
    without_warp,
)
from backend.guidance.perceptual import feature_distance
from backend.guidance.prior import add_noise
from backend.perception.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0
from backend.training.prior_batches import BatchShape, PriorBatch, draw_batch
from backend.training.prior_pass import beside
from backend.training.prior_store import PackedPerson

CHECKPOINT = "checkpoint.pt"
STAGE = "optimization"
_SNR = (0.25, 4.0)
# What torch raises for files that are no checkpoints, or half of one.
_UNREADABLE = (
    *(RuntimeError, KeyError, ValueError, TypeError, EOFError, OSError),
    pickle.UnpicklingError,
)


@dataclass(frozen=True)
class PriorTraining:
    """What a run depends on; two runs with equal settings on one kind of CPU give equal weights."""

    steps: int = 6000
    seed: int = 0
    network: CompactConfig = field(default_factory=CompactConfig)
    batch: BatchShape = field(default_factory=BatchShape)
    learning_rate: float = 6e-4
    warm_up: int = 100
    """Steps until the learning rate is reached."""
    cool_from: float = 0.6
    """Share of the run after which it falls, as a cosine, to a fiftieth."""
    weight_decay: float = 0.01
    ema: float = 0.998
    no_reference: float = 0.1
    """Share of targets that see neither the photo nor its carried colours: the other branch of
    classifier-free guidance."""
    no_warp: float = 0.2
    """Share of the others that lack the carried colours: they learn to look at the photo."""
    no_geometry: float = 0.08
    carried_start: float = 0.5
    """Share of targets whose noise lies on the photo's carried colours and not on the truth: what
    distillation starts from is to be corrected, not believed."""
    sharpness: float = 0.5
    """Weight of the picture's gradients in the loss."""
    sharpen_from: float = 0.6
    """Share of the run from which the seams are trained, and the perceptual loss is on."""
    perceptual: float = 0.015
    """Weight of the distance in EffNet-Lite0's features."""
    perceptual_targets: int = 4
    """How many targets it looks at: every second one of the less noisy ones."""
    reference: bool = True
    """False trains without any photo (ablation)."""
    half: bool = True
    """bfloat16 where the network's layers allow it."""


class PriorTrainer:
    """Network, optimizer and moving average, ready to take steps.

    Args:
        settings: of the run.
        people: to learn from.
        device: where.
    """

    def __init__(
        self, settings: PriorTraining, people: Sequence[PackedPerson], device: torch.device
    ) -> None:
        self.settings, self._people, self._device = settings, people, device
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            network = CompactNetwork(settings.network, noise_schedule())
        self.network = network.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=settings.weight_decay,
        )
        self._features: EfficientNetLite0 | None = None
        self.step = 0
        self.saved = 0
        """Steps that the checkpoint on disk holds."""
        self.losses: list[float] = []

    def advance(self) -> float:
        """Take one step; its loss. Everything random comes from the seed and the step's number."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, self.step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = draw_batch(self._people, settings.batch, rng)
        for group in self._optimizer.param_groups:
            group["lr"] = settings.learning_rate * self.pace(self.step)
        loss = self._loss(batch, generator)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        keep = min(settings.ema, self.step / (self.step + 12.0))
        with torch.no_grad():
            for slow, fast in zip(
                self.average.parameters(), self.network.parameters(), strict=True
            ):
                slow.lerp_(fast, 1.0 - keep)
        value = float(loss.detach())
        self.losses.append(value)
        return value

    def pace(self, step: int) -> float:
        """Learning rate relative to its height."""
        settings = self.settings
        rise = min(1.0, (step + 1) / settings.warm_up)
        done = step / settings.steps
        fall = max(0.0, (done - settings.cool_from) / (1.0 - settings.cool_from))
        return rise * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(1.0, fall))))

    def _loss(self, batch: PriorBatch, generator: torch.Generator) -> Float[Tensor, ""]:
        settings, device = self.settings, self._device
        clean = batch.clean.to(device)
        count, last = len(clean), len(self.network.alphas_cumprod) - 1
        # One timestep a stratum: every step sees all noise levels.
        share = (
            torch.randperm(count, generator=generator) + torch.rand(1, generator=generator)
        ) / count
        t = (share * last).round().long().to(device)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        draws = torch.rand(4, count, generator=generator).to(device)
        alone = draws[0] < (settings.no_reference if settings.reference else 1.1)
        maps = without_warp(batch.maps.to(device), alone | (draws[1] < settings.no_warp))
        maps = without_geometry(maps, draws[2] < settings.no_geometry)
        alpha_bar = self.network.alphas_cumprod[t]
        carried = (draws[3] < settings.carried_start) & ~alone
        start = torch.where(carried[:, None, None, None], batch.start.to(device), clean)
        noisy = add_noise(start, noise, alpha_bar)
        sharpens = self.step >= settings.sharpen_from * settings.steps
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.half):
            found = beside(self.network, batch, noisy, t, maps, alone, seamless=sharpens)
        weight = batch.weight.to(device)
        loss = denoising_loss(found, clean, alpha_bar, weight, settings.sharpness)
        if sharpens and settings.perceptual > 0.0:
            rows = t.argsort()[: 2 * settings.perceptual_targets : 2]
            distance = self._perceptual(found[rows], clean[rows], weight[rows])
            loss = loss + settings.perceptual * distance
        return loss

    def _perceptual(
        self,
        found: Float[Tensor, "b c h w"],
        clean: Float[Tensor, "b c h w"],
        weight: Float[Tensor, "b 1 h4 w4"],
    ) -> Float[Tensor, ""]:
        """Of the person and its rim; the grey around it is the same in both."""
        if self._features is None:
            self._features = load_efficientnet_lite0().to(self._device)
        wanted = unfold(clean)
        near = (weight > 0.5).float()
        ours = unfold(found).clamp(-1.2, 1.2) * near + wanted * (1.0 - near)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self.settings.half):
            with torch.no_grad():
                truth = self._features(wanted * 0.5 + 0.5)
            features = self._features(ours * 0.5 + 0.5)
        return feature_distance([f.float() for f in features], [f.float() for f in truth])

    def save(self, folder: Path) -> None:
        """Write everything that later steps depend on."""
        buffer = io.BytesIO()
        torch.save(
            {
                "settings": asdict(self.settings),
                "step": self.step,
                "losses": self.losses,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            },
            buffer,
        )
        write_whole(folder / CHECKPOINT, buffer.getvalue())
        self.saved = self.step

    def resume(self, folder: Path) -> bool:
        """Go on from :meth:`save`; False where nothing was saved.

        Raises:
            HumanRefError: ``checkpoint_other``, ``checkpoint_broken``.
        """
        path = folder / CHECKPOINT
        if not path.is_file():
            return False
        try:
            state: dict[str, Any] = torch.load(path, map_location=self._device, weights_only=True)
            wanted = asdict(self.settings)
            # More steps may be asked for; all else must be as it was.
            if {**state["settings"], "steps": 0} != {**wanted, "steps": 0}:
                raise HumanRefError(
                    "checkpoint_other",
                    f"{path} was trained with other settings.",
                    "Use the settings of that run, or another output folder.",
                )
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self._optimizer.load_state_dict(state["optimizer"])
            self.step, self.losses = int(state["step"]), list(state["losses"])
            self.saved = self.step
        except _UNREADABLE as error:
            raise HumanRefError(
                "checkpoint_broken",
                f"{path} cannot be read ({type(error).__name__}).",
                "Delete it to train from the beginning.",
            ) from error
        return True


def denoising_loss(
    found: Float[Tensor, "b c h w"],
    clean: Float[Tensor, "b c h w"],
    alpha_bar: Float[Tensor, "b"],
    weight: Float[Tensor, "b 1 h4 w4"],
    sharpness: float,
) -> Float[Tensor, ""]:
    """Squared error of the clean picture under min-SNR weights, and L1 of its gradients.

    min(SNR, 4) (Hang et al. 2023) for x0-prediction, and at least 1/4: distillation asks at noise levels
    that pure SNR weights would not teach. Means forget edges, the L1 term does not.
    """
    snr = (alpha_bar / (1.0 - alpha_bar).clamp_min(1e-5)).clamp(*_SNR)
    pixels, wanted = unfold(found), unfold(clean)
    each = ((pixels - wanted).square() * weight).mean((1, 2, 3)) / weight.mean((1, 2, 3))
    square = (each * snr).mean()
    if sharpness == 0.0:
        return square
    edge = found.new_zeros(len(found))
    for axis in (-1, -2):
        difference = pixels.diff(dim=axis) - wanted.diff(dim=axis)
        share = weight.narrow(axis, 1, weight.shape[axis] - 1)
        edge = edge + (difference.abs() * share).mean((1, 2, 3)) / weight.mean((1, 2, 3))
    return square + sharpness * 0.1 * (edge * snr.sqrt()).mean()


def train_prior(
    trainer: PriorTrainer,
    folder: Path,
    on_event: OnEvent,
    *,
    checkpoint_every: int = 250,
    show: Callable[[int], None] | None = None,
    show_every: int = 1000,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Take all steps that are left.

    What ``on_event`` or ``show`` raise (Ctrl-C, Cancelled) stops the run between two steps, and all that
    was learned is kept. What stops it inside a step leaves the checkpoint before: half a step is none.

    Args:
        show: called with the step every ``show_every`` steps (sample sheets).
    """
    started, first, total = clock(), trainer.step, trainer.settings.steps
    while trainer.step < total:
        trainer.advance()
        step = trainer.step
        each = (clock() - started) / (step - first)
        recent = {"loss": float(np.mean(trainer.losses[-50:]))}
        try:
            on_event(Step(STAGE, step, total, each * (total - step), recent))
            if show is not None and step % show_every == 0:
                show(step)
        except BaseException:
            trainer.save(folder)
            raise
        if step % checkpoint_every == 0 or step == total:
            trainer.save(folder)

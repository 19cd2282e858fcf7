"""The one loop that fits a field to a photo, a body and a guidance (3.3)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

from backend.errors import Cancelled, HumanRefError
from backend.events import OnEvent, Step, Warned
from backend.field.networks import HumanField
from backend.field.volume import sample_grid
from backend.guidance import Guidance
from backend.guidance.memory import SparesMemory
from backend.guidance.protocol import Draws, PictureGuidance, PictureView
from backend.optimization import losses
from backend.optimization.adam import Adam
from backend.optimization.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from backend.optimization.finite_guard import PATIENCE, FiniteGuard
from backend.optimization.guided import SkinPoints, guided_rays
from backend.optimization.memory_guard import MemoryGuard
from backend.optimization.memory_tiers import MemoryTier, TierChoice
from backend.optimization.picture import picture_of, picture_rays
from backend.optimization.rays import (
    Rays,
    RenderedRays,
    random_numbers,
    render_batch,
    view_rays,
)
from backend.optimization.schedule import Schedule
from backend.optimization.targets import FrontTargets
from backend.rendering.sampling import NarrowBandSampler
from backend.rendering.slots import SlotBudget
from backend.settings import GenerateSettings
from backend.threads import few_torch_threads

STAGE = "optimization"
# Seconds after which progress is told even between the usual tens of steps; also how soon a stop is seen.
_SILENCE = 1.0


@dataclass(frozen=True)
class FitProblem:
    """Everything the loop fits to."""

    targets: FrontTargets
    guidance: Guidance
    tightness: Float[Tensor, "m m"]
    """How far the body's SDF may be trusted, by field x, y; row 0 on top."""
    extent: tuple[float, float, float, float]
    """x0, x1, y0, y1 of the person in field units: where unseen views send their rays."""
    fingerprint: str
    pictures: PictureGuidance | None = None
    """A diffusion prior, which must see whole pictures; ``guidance`` may go before it."""


@dataclass(frozen=True)
class FitSummary:
    """What the loop did."""

    steps: int
    seconds: float
    points: int
    """Field evaluations by rendering, forward."""
    losses: dict[str, float]
    """Weighted terms, mean of the last tenth of the run."""
    memory: str = ""
    """The memory tiers it ran in; empty on a CPU."""


class FieldOptimizer:
    """Runs the loop; one instance a fit."""

    def __init__(
        self,
        field: HumanField,
        problem: FitProblem,
        settings: GenerateSettings,
        on_event: OnEvent,
        on_preview: Callable[[int], None],
        checkpoint: Path | None,
        memory: TierChoice | None = None,
    ) -> None:
        """``on_preview(step)`` is called when a preview mesh is due; ``memory``: None on a CPU."""
        self.field, self.problem, self.settings = field, problem, settings
        self.on_event, self.on_preview, self.checkpoint = on_event, on_preview, checkpoint
        self.plan = Schedule(settings.optimization)
        self.generator = Generator().manual_seed(settings.seed)
        # Rays are drawn where they are used; what a view is like is decided on the host.
        self._draws = Generator(field.device) if field.device.type == "cuda" else self.generator
        self._budget = SlotBudget(field.device)
        self.memory = MemoryGuard(memory, self._use_tier, on_event)
        self.sampler = NarrowBandSampler(settings.rendering)
        groups = field.parameter_groups(settings.optimization)
        self.optimizer = Adam(groups, betas=(0.9, 0.99), eps=1e-15)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.guard = FiniteGuard(field.device)
        self._told_of_skips = False
        self._seconds_before = self._begun = 0.0
        self._completed = 0
        self._whole = True
        self._moving = False
        self._random_state = self.generator.get_state()
        self._points = 0

    def run(self, *, resume: bool = False) -> FitSummary:
        """Fit; checkpoints as it goes, and once more when it is stopped.

        Raises:
            Cancelled: the observer or Ctrl-C stopped the run; the checkpoint says where.
            HumanRefError: a checkpoint that does not fit, a disk that is full.
        """
        with few_torch_threads():
            return self._run(self._restore() if resume else 0)

    def _run(self, first: int) -> FitSummary:
        options = self.settings.optimization
        started = told = self._begun = time.perf_counter()
        recent: list[Tensor] = []
        names: tuple[str, ...] = ()
        try:
            for step in range(first, options.steps):
                self._whole = False
                terms = self.memory.attempt(partial(self._step, step), self._take_back)
                self._whole = True
                names = tuple(terms)
                if step >= options.steps - max(1, options.steps // 10):
                    recent.append(torch.stack(list(terms.values())))
                done, now = step + 1, time.perf_counter()
                if done % 10 == 0 or done == options.steps or now - told > _SILENCE:
                    told = now
                    self._tell(done, (now - started) / (done - first), terms)
                if self._preview_due(done):
                    self.on_preview(done)
                if self.checkpoint and done % options.checkpoint_every == 0:
                    self._save(time.perf_counter() - started)
        except (KeyboardInterrupt, Cancelled) as stop:
            raise self._stopped(first, time.perf_counter() - started) from stop
        if self.checkpoint and first < options.steps:
            # Stopped during meshing, a run resumes here.
            self._save(time.perf_counter() - started)
        seconds = self._seconds_before + time.perf_counter() - started
        mean = torch.stack(recent).mean(0).tolist() if recent else []
        final = dict(zip(names, mean, strict=False))
        return FitSummary(options.steps, seconds, self._points, final, self.memory.description)

    def _preview_due(self, done: int) -> bool:
        options = self.settings.optimization
        due = done == options.first_preview or done % options.preview_every == 0
        return due and done < options.steps

    def _tell(self, done: int, pace: float, terms: dict[str, Tensor]) -> None:
        """Report progress, and stop a fit that has become nonsense before it overwrites a checkpoint."""
        bad = self.guard.bad_in_a_row
        if bad >= PATIENCE:
            raise HumanRefError(
                "fit_diverged",
                f"The fit broke down at step {done}: {bad} steps in a row gave no finite numbers.",
                "Try another seed; if it happens again, look at overlay.png and correct the pose.",
            )
        if not self._told_of_skips and self.guard.skipped:
            self._told_of_skips = True
            skips = "A step gave numbers that are not finite: such steps are skipped."
            self.on_event(Warned("step_skipped", skips))
        values = {name: float(value) for name, value in terms.items()}
        shown = {name: value for name, value in values.items() if math.isfinite(value)}
        total = self.settings.optimization.steps
        self.on_event(Step(STAGE, done, total, pace * (total - done), shown))

    def _stopped(self, first: int, elapsed: float) -> Cancelled:
        """Keep the work if there is some; a step broken off half-way leaves the older checkpoint."""
        if self.checkpoint is None or (self._completed == first and first == 0):
            return Cancelled(f"Stopped at step {self._completed}.", "Nothing was kept.")
        if self._whole:
            self._save(elapsed)
        elif not self.checkpoint.is_file():
            return Cancelled(f"Stopped at step {self._completed}.", "Nothing was kept.")
        return Cancelled(
            f"Stopped at step {self._completed} of {self.settings.optimization.steps}; "
            f"the work so far is kept in {self.checkpoint}.",
            "Run the same command with --resume to continue.",
        )

    def _save(self, elapsed: float) -> None:
        """Keep the state after the last whole step, so that resuming gives the uninterrupted result.

        While steps are being skipped the older checkpoint stays.
        """
        assert self.checkpoint is not None
        if self.guard.bad_in_a_row and self.checkpoint.is_file():
            return
        pictures = self.problem.pictures
        save_checkpoint(
            self.checkpoint,
            Checkpoint(
                fingerprint=self.problem.fingerprint,
                step=self._completed,
                field=self.field.state_dict(),
                optimizer=self.optimizer.state_dict(),
                generator=self._random_state,
                sampler=self.sampler.state_dict(),
                seconds=self._seconds_before + elapsed,
                guidance={} if pictures is None else pictures.state_dict(),
                guard=self.guard.state_dict(),
            ),
        )

    def _restore(self) -> int:
        assert self.checkpoint is not None
        saved = load_checkpoint(self.checkpoint, self.problem.fingerprint)
        self.field.load_state_dict(saved.field)
        self.optimizer.load_state_dict(saved.optimizer)
        self.generator.set_state(saved.generator)
        self.guard.load_state_dict(saved.guard)
        if self.problem.pictures is not None:
            self.problem.pictures.load_state_dict(saved.guidance)
        grid = saved.sampler["grid"].to(self.problem.tightness.device)
        self.sampler.load_state_dict({**saved.sampler, "grid": grid})
        self._seconds_before, self._completed = saved.seconds, saved.step
        self._random_state = saved.generator
        return saved.step

    def _step(self, step: int) -> dict[str, Tensor]:
        """One gradient step; returns the weighted loss terms, detached."""
        factor = self.plan.learning_rate_factor(step)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        if step % self.settings.rendering.grid_refresh == 0:
            self.sampler.refresh(self.field)
        terms = self._losses(step)
        total = torch.stack(list(terms.values())).sum()
        scaled = total * self.guard.scale
        self.optimizer.zero_grad()
        scaled.backward()
        skip, scale = self.guard.judge(scaled, self.optimizer.gradients())
        self._moving = True
        self.optimizer.step(skip, scale)
        self._moving = False
        self._completed = step + 1
        self._random_state = self.generator.get_state()
        return {name: value.detach() for name, value in terms.items()}

    def _take_back(self) -> bool:
        """Forget a step that was broken off; False when it had begun to move the field."""
        self.optimizer.zero_grad()
        self.generator.set_state(self._random_state)
        return not self._moving

    def _use_tier(self, tier: MemoryTier) -> None:
        """Spend less from the next step on; the work so far is safe first."""
        if self.checkpoint and self._completed:
            self._save(time.perf_counter() - self._begun)
        if isinstance(self.problem.pictures, SparesMemory):
            self.problem.pictures.spare(tier.guidance)

    def _losses(self, step: int) -> dict[str, Tensor]:
        options, weights = self.settings.optimization, self.settings.optimization.losses
        resolution = self.plan.resolution(step)
        azimuth = self.problem.guidance.azimuth(step, self.generator)
        if self._draws is not self.generator:
            # A new seed each step: checkpoints then need the host's generator alone.
            self._draws.manual_seed(int(torch.randint(2**62, (), generator=self.generator)))
        behind = azimuth is None or abs(azimuth - 180.0) < 1e-6
        rays = min(options.rays, resolution * resolution)
        n_front = int(rays * (1.0 - options.unseen_share)) // 2 * 2
        n_other = (rays - n_front) // 2 * 2
        targets = self.problem.targets
        front = view_rays(0.0, targets.draw(resolution, n_front, self._draws))
        if behind:
            x, y = targets.draw(resolution, n_other, self._draws).unbind(1)
            other = view_rays(180.0, torch.stack([-x, y], 1))
        else:
            assert azimuth is not None
            other = self._side_rays(azimuth, n_other, resolution)
        views = [front, other]
        pictures = self.problem.pictures
        asked = pictures.view(step, self.generator) if pictures is not None else None
        if asked is not None:
            resolution_there = min(resolution, asked.largest)
            views.append(picture_rays(asked, resolution_there, self._draws, self.field.device))
        # Random background colour each step: a colour must not pass for emptiness.
        background = random_numbers(3, generator=self._draws, device=self.field.device)
        view = render_batch(
            self.field,
            self.sampler,
            self._budget,
            tuple(views),
            background,
            self._draws,
            self.memory.ray_chunk,
        )
        self._points += view.bundle.samples.sdf.numel()
        terms = self._front_losses(front, view, resolution)
        back = slice(len(front.xy), len(front.xy) + len(other.xy))
        if behind:
            normal, trust = targets.back_normals(other.xy)
            solid = view.opacity[back].detach()
            terms["normal"] = terms["normal"] + weights.normal * losses.normal_loss(
                view.normal[back], normal, trust * solid
            )
        if azimuth is not None and weights.guidance > 0:
            skin = SkinPoints.draw(self.field, self.sampler.grid, self._draws)
            guide = self.problem.guidance
            terms["guidance"] = weights.guidance * (
                guide.loss(guided_rays(azimuth, view, back))
                + guide.loss(skin.as_rays(azimuth, self.field)) * skin.exist
            )
        if pictures is not None:
            terms.update(self._distil(step, pictures, asked, view, back.stop))
            if azimuth is None:
                skin = SkinPoints.draw(self.field, self.sampler.grid, self._draws)
                terms["guidance"] = weights.guidance * skin.follow_surface(self.field)
        terms["smooth"] = weights.smooth * self._smoothness(view)
        terms.update(self._field_losses(view))
        return terms

    def _side_rays(self, azimuth: float, rays: int, resolution: int) -> Rays:
        """Rays of a side view through the person's box, in neighbouring pairs; many of them miss."""
        x0, x1, y0, y1 = self.problem.extent
        half = max(abs(x0), abs(x1), 0.45)
        place = self.field.device
        uniform = random_numbers(rays // 2, 2, generator=self._draws, device=place)
        first = torch.stack([(uniform[:, 0] * 2 - 1) * half, y0 + uniform[:, 1] * (y1 - y0)], -1)
        sideways = random_numbers(rays // 2, generator=self._draws, device=place).lt(0.5).float()
        second = first + torch.stack([sideways, 1.0 - sideways], -1) * (2.0 / resolution)
        elevation = float(torch.rand((), generator=self.generator)) * 40.0 - 20.0
        return view_rays(azimuth, torch.stack([first, second], 1).view(-1, 2), elevation)

    def _front_losses(self, front: Rays, view: RenderedRays, resolution: int) -> dict[str, Tensor]:
        weights = self.settings.optimization.losses
        target = self.problem.targets.at(resolution, front.xy)
        rows = slice(0, len(front.xy))
        # Rays that miss show the plain background: they take part in the silhouette's union alone.
        seen, known = view.solid[rows], target.known * view.counted[rows]
        share = target.mask[:, None]
        wanted = target.color * share + view.background * (1 - share)
        return {
            "rgb": weights.rgb * losses.rgb_loss(view.color[rows], wanted, target.known * seen),
            "iou": weights.iou * losses.iou_loss(view.opacity[rows] * known, target.mask * known),
            "normal": weights.normal
            * losses.normal_loss(view.normal[rows], target.normal, target.normal_weight * seen),
        }

    def _distil(
        self,
        step: int,
        guidance: PictureGuidance,
        asked: PictureView | None,
        view: RenderedRays,
        first: int,
    ) -> dict[str, Tensor]:
        """Weighted terms of a guidance of whole pictures, whose rays begin at row ``first``."""
        weights = vars(self.settings.optimization.losses)
        nothing = torch.zeros((), device=self.field.device)
        found = dict.fromkeys(guidance.terms, nothing)
        if asked is not None:
            side = math.isqrt(len(view.opacity) - first)
            picture = picture_of(view, first, asked, side)
            found |= guidance.losses(step, picture, Draws(self.generator, self._draws))
        return {name: weights[name] * value for name, value in found.items()}

    def _smoothness(self, view: RenderedRays) -> Tensor:
        """Neighbouring pixels of every view, where both meet the person."""
        solid = view.opacity.detach().view(-1, 2)
        return losses.smoothness_loss(view.normal.view(-1, 2, 3), solid[:, 0] * solid[:, 1])

    def _field_losses(self, view: RenderedRays) -> dict[str, Tensor]:
        weights = self.settings.optimization.losses
        points, samples = view.bundle.points, view.bundle.samples
        counted = view.sample_weight
        base = sample_grid(self.field.base_sdf, points.clamp(-1.0, 1.0))
        near = losses.near_surface(samples.sdf, self.field.alpha.detach())
        grid = torch.stack([points[:, 0], -points[:, 1]], 1)
        tight = functional.grid_sample(
            self.problem.tightness[None, None],
            grid[None, None],
            align_corners=False,
            padding_mode="border",
        ).view(-1)
        # The mean over all samples, of which empty slots hold some.
        share = len(counted) / counted.sum().clamp_min(1.0)
        trust = (0.1 + 0.9 * tight) * counted * share
        return {
            "sdf": weights.sdf * losses.sdf_loss(samples.sdf, base, trust),
            "eikonal": weights.eikonal * losses.eikonal_loss(samples.gradient, near * counted),
        }

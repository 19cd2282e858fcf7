"""The loop as a whole, on a ball with a painted front."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import Cancelled, HumanRefError
from backend.events import Event, Step, ignore_events
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.networks import HumanField
from backend.guidance import make_guidance
from backend.optimization.checkpoint import load_checkpoint
from backend.optimization.loop import FieldOptimizer, FitProblem, view_rays
from backend.optimization.targets import CropMaps, FrontTargets
from backend.perception.subject import NormalMaps
from backend.settings import (
    FieldSettings,
    GenerateSettings,
    OptimizationSettings,
    RenderingSettings,
    preset_settings,
)

N = 64
RADIUS = 0.5


def _settings(steps: int = 30) -> GenerateSettings:
    return replace(
        preset_settings("draft"),
        working_resolution=N,
        field=FieldSettings(levels=6, log2_table=12, max_resolution=64, sdf_levels=4),
        rendering=RenderingSettings(samples=8, grid_resolution=24, grid_refresh=5),
        optimization=OptimizationSettings(
            steps=steps,
            resolutions=(32, 64),
            rays=512,
            first_preview=4,
            preview_every=10,
            checkpoint_every=10,
        ),
    )


def _problem() -> FitProblem:
    """A ball, red on the left and blue on the right of the picture."""
    t = (np.arange(N) + 0.5) / N * 2 - 1
    x, y = (a.astype(np.float32) for a in np.meshgrid(t, -t))
    inside = x**2 + y**2 < RADIUS**2
    z = np.sqrt(np.maximum(RADIUS**2 - x**2 - y**2, 0))
    front = np.stack([x, y, z], -1) / RADIUS * inside[..., None]
    back = np.stack([-x, y, -z], -1) / RADIUS * inside[..., None]
    rgb = np.where((x < 0)[..., None], (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)).astype(np.float32)
    known, nothing = np.ones((N, N), bool), np.zeros((N, N), bool)
    mask = inside.astype(np.float32)
    device = torch.device("cpu")
    normals = NormalMaps(front, back, mask, mask, "exact")
    targets = FrontTargets(
        CropMaps(rgb, mask, known, nothing, nothing), normals, inside, (32, 64), device
    )
    guidance = make_guidance("mirror", rgb, mask, nothing, nothing, known, device)
    return FitProblem(targets, guidance, torch.ones(8, 8), (-0.5, 0.5, -0.5, 0.5), "ball")


def _field(settings: GenerateSettings) -> HumanField:
    axis = torch.linspace(-1, 1, 33)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    base = torch.stack([x, y, z], -1).norm(dim=-1) - RADIUS
    layout = HashGridLayout.from_settings(settings.field)
    torch.manual_seed(0)
    return HumanField(settings.field, base, make_encoding("numba", layout, "cpu")[0])


def _optimizer(settings: GenerateSettings, checkpoint: Path | None = None, **kwargs):
    field = _field(settings)
    on_event = kwargs.get("on_event", ignore_events)
    on_preview = kwargs.get("on_preview", lambda step: None)
    return field, FieldOptimizer(field, _problem(), settings, on_event, on_preview, checkpoint)


def test_the_photo_is_learnt_in_front_and_carried_to_the_back() -> None:
    field, loop = _optimizer(_settings(150))
    loop.run()
    points = torch.tensor([[-0.25, 0.0, 0.43], [0.25, 0.0, 0.43], [-0.25, 0.0, -0.43]])
    with torch.no_grad():
        color = field.color(points)
        distance = field.sdf(points)
    wanted = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])
    assert (color - wanted).abs().max() < 0.15
    assert distance.abs().max() < 0.03


def test_previews_and_progress_come_as_planned() -> None:
    seen: list[Event] = []
    previews: list[int] = []
    _, loop = _optimizer(_settings(30), on_event=seen.append, on_preview=previews.append)
    summary = loop.run()
    steps = [e for e in seen if isinstance(e, Step)]
    # A slow machine is told of more: nothing stays silent for a second.
    assert {10, 20, 30} <= {e.step for e in steps}
    assert steps[-1].eta == 0.0
    assert set(steps[-1].losses) == set(summary.losses)
    assert {"rgb", "iou", "normal", "sdf", "smooth"} <= set(summary.losses)
    assert previews == [4, 10, 20]


def test_equal_seeds_give_equal_fields() -> None:
    states = []
    for _ in range(2):
        field, loop = _optimizer(_settings(12))
        loop.run()
        states.append(field.state_dict())
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


@pytest.mark.parametrize("at", [20, 13])
def test_a_stopped_run_resumes_to_the_same_field(tmp_path: Path, at: int) -> None:
    whole, loop = _optimizer(_settings(30))
    loop.run()
    path = tmp_path / "a.checkpoint"

    def stop(step: int) -> None:
        raise KeyboardInterrupt

    settings = _settings(30)
    stopping = replace(
        settings, optimization=replace(settings.optimization, first_preview=at, preview_every=100)
    )
    _, loop = _optimizer(stopping, path, on_preview=stop)
    with pytest.raises(Cancelled, match="--resume"):
        loop.run()
    resumed, loop = _optimizer(settings, path)
    loop.run(resume=True)
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_a_finished_run_can_be_taken_up_after_its_last_step(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    first, loop = _optimizer(_settings(12), path)
    loop.run()
    again, loop = _optimizer(_settings(12), path)
    assert loop.run(resume=True).steps == 12
    torch.testing.assert_close(again.state_dict(), first.state_dict(), rtol=0, atol=0)


def test_a_fit_that_breaks_down_stops_and_keeps_the_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    field, loop = _optimizer(_settings(30), path)

    def poison(step: int) -> None:
        if step == 20:
            with torch.no_grad():
                field.table.fill_(torch.nan)

    loop.on_preview = poison
    with pytest.raises(HumanRefError, match="step 30") as error:
        loop.run()
    assert error.value.code == "fit_diverged"
    kept = load_checkpoint(path, "ball")
    assert kept.step == 20
    assert bool(torch.isfinite(kept.field["sdf_w1"]).all())


def test_a_step_broken_off_half_way_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    _, loop = _optimizer(_settings(30), path)
    whole_step = loop._losses

    def broken_off(step: int) -> dict[str, torch.Tensor]:
        if step == 13:
            raise KeyboardInterrupt
        return whole_step(step)

    loop._losses = broken_off
    with pytest.raises(Cancelled, match="--resume"):
        loop.run()
    assert load_checkpoint(path, "ball").step == 10


def test_stopped_before_the_first_step_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    _, loop = _optimizer(_settings(30), path)

    def stop(step: int) -> None:
        raise KeyboardInterrupt

    loop._losses = stop
    with pytest.raises(Cancelled, match="Nothing"):
        loop.run()
    assert not path.exists()


def test_rays_of_every_view_start_outside_the_cube_and_look_at_it() -> None:
    xy = torch.zeros(1, 2)
    for azimuth in range(0, 360, 30):
        rays = view_rays(float(azimuth), xy, elevation=20.0)
        assert float(rays.origins.norm(dim=1)) >= 3**0.5
        assert float((rays.origins + 1.75 * rays.directions).abs().max()) < 1e-5

"""Rays of a step: the same numbers whatever the slots, and a host that never waits for the device."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from host_traffic import HostTraffic, NumbersFromHost
from torch import Generator

from backend.events import ignore_events
from backend.field.encodings.grid import HashGridLayout
from backend.field.encodings.reference import ReferenceEncoding
from backend.field.networks import HumanField
from backend.guidance import make_guidance
from backend.optimization.loop import FieldOptimizer, FitProblem
from backend.optimization.rays import points_below_surface, render_batch, view_rays
from backend.optimization.targets import CropMaps, FrontTargets
from backend.perception.subject import NormalMaps
from backend.rendering.sampling import NarrowBandSampler
from backend.rendering.slots import SlotBudget
from backend.settings import FieldSettings, RenderingSettings, preset_settings

N = 32


def _field(device: str) -> HumanField:
    settings = FieldSettings(levels=4, log2_table=10, max_resolution=32, sdf_levels=2)
    axis = torch.linspace(-1, 1, 17)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    base = torch.stack([x, y, z], -1).norm(dim=-1) - 0.5
    torch.manual_seed(0)
    layout = HashGridLayout.from_settings(settings)
    return HumanField(settings, base, ReferenceEncoding(layout)).to(device)


class LessExact(SlotBudget):
    """So many slots, whatever hits."""

    def __init__(self, slots: int) -> None:
        super().__init__(torch.device("cpu"))
        self._always = slots

    def slots(self, kind, rays):
        return self._always


def _batch(slots: int | None):
    field = _field("cpu")
    sampler = NarrowBandSampler(RenderingSettings(samples=6, grid_resolution=24))
    sampler.refresh(field)
    xy = torch.rand(300, 2, generator=Generator().manual_seed(1)) * 2 - 1
    budget = SlotBudget(torch.device("cpu")) if slots is None else LessExact(slots)
    views = (view_rays(0.0, xy[:200]), view_rays(140.0, xy[200:], 15.0))
    white = torch.ones(3)
    return field, render_batch(field, sampler, budget, views, white, Generator().manual_seed(2))


def test_spare_slots_change_neither_pictures_nor_gradients() -> None:
    results = []
    for slots in (None, 300):
        field, view = _batch(slots)
        shown = torch.cat([view.color, view.normal, view.opacity[:, None], view.depth[:, None]], 1)
        wanted = torch.linspace(0, 1, shown.numel()).view_as(shown)
        ((shown - wanted).square().sum()).backward()
        results.append((shown.detach(), view.sample_weight.sum(), field.table.grad))
    (exact, samples, gradient), (spare, counted, other) = results
    assert 0 < int(samples) < 300 * 6
    assert int(counted) == int(samples)
    torch.testing.assert_close(spare, exact)
    torch.testing.assert_close(other, gradient)


def test_rays_that_miss_show_the_background() -> None:
    _, view = _batch(None)
    missed = ~view.slots.rendered
    assert 0 < int(missed.sum()) < 300
    assert bool((view.color[missed] == 1.0).all())
    assert float(view.opacity[missed].detach().abs().max()) == 0.0


def test_rays_without_a_slot_do_not_count() -> None:
    _, exact = _batch(None)
    _, view = _batch(40)
    hits = torch.nonzero(exact.slots.rendered)[:, 0]
    assert torch.equal(torch.nonzero(view.slots.rendered)[:, 0], hits[:40])
    assert torch.equal(torch.nonzero(view.counted == 0.0)[:, 0], hits[40:])
    torch.testing.assert_close(view.color[hits[:40]], exact.color[hits[:40]])


def test_points_under_the_surface_are_drawn_evenly_from_its_nodes() -> None:
    axis = torch.linspace(-1, 1, 21)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    # A slab in x, so that axes cannot be mistaken for each other.
    grid = x.abs() * 1.0 - 0.35 + 0.0 * (y + z)
    points, any_inside = points_below_surface(grid, 0.1, 4000, Generator().manual_seed(0))
    assert bool(any_inside)
    # Nodes at |x| = 0.3 only, half a cell of jitter.
    assert bool(((points[:, 0].abs() - 0.3).abs() <= 0.0501).all())
    assert abs(float((points[:, 0] > 0).float().mean()) - 0.5) < 0.05
    assert float(points[:, 1].abs().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(points[:, 2].abs().mean()) == pytest.approx(0.5, abs=0.03)
    assert not bool(points_below_surface(grid + 1.0, 0.1, 8, Generator().manual_seed(0))[1])


def _meta_loop(guidance: str) -> FieldOptimizer:
    """The loop on PyTorch's "meta" device: every branch of a GPU, no numbers to look at."""
    mask = np.zeros((N, N), np.float32)
    mask[8:24, 8:24] = 1
    inside, known, nothing = mask > 0, np.ones((N, N), bool), np.zeros((N, N), bool)
    rgb, normal = np.full((N, N, 3), 0.5, np.float32), np.zeros((N, N, 3), np.float32)
    place = torch.device("meta")
    maps = CropMaps(rgb, mask, known, nothing, nothing)
    normals = NormalMaps(normal, normal, mask, mask, "exact")
    targets = FrontTargets(maps, normals, inside, (16, N), place)
    guide = make_guidance(guidance, rgb, mask, nothing, nothing, known, place)
    tight = torch.ones(8, 8, device=place)
    problem = FitProblem(targets, guide, tight, (-0.5, 0.5, -0.5, 0.5), "none")
    settings = preset_settings("draft")
    settings = replace(
        settings,
        rendering=RenderingSettings(samples=6, grid_resolution=16),
        optimization=replace(settings.optimization, resolutions=(16, N), rays=256, steps=30),
    )
    return FieldOptimizer(_field("meta"), problem, settings, ignore_events, lambda step: None, None)


@pytest.mark.parametrize("guidance", ["mirror", "none"])
def test_no_step_makes_the_host_wait_for_the_device(guidance: str) -> None:
    loop = _meta_loop(guidance)
    with NumbersFromHost(), HostTraffic():
        for step in range(4):
            loop.sampler.refresh(loop.field)
            terms = loop._step(step)
    assert set(terms) >= {"rgb", "iou", "normal", "smooth", "sdf", "eikonal"}
    assert loop.field.table.grad is not None


def test_the_check_for_waiting_does_find_it() -> None:
    loop = _meta_loop("none")
    loop.sampler.refresh(loop.field)
    for wait in (
        lambda: float(loop.field.alpha),
        lambda: torch.nonzero(loop.sampler.grid < 0),
        lambda: loop.field.table.new_tensor([1.0, -1.0]),
        lambda: torch.ones(3).to("meta") + loop.field.table[0, 0],
        lambda: loop.field.table.cpu(),
        lambda: loop.field.table[loop.field.table[:, 0] > 0],
    ):
        refused = pytest.raises((AssertionError, RuntimeError, NotImplementedError))
        with NumbersFromHost(), HostTraffic(), refused:
            wait()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_no_step_synchronises() -> None:
    loop = _meta_loop("none")
    place = torch.device("cuda")
    known, nothing = np.ones((N, N), bool), np.zeros((N, N), bool)
    mask = np.pad(np.ones((16, 16), np.float32), 8)
    rgb, normal = np.full((N, N, 3), 0.5, np.float32), np.zeros((N, N, 3), np.float32)
    targets = FrontTargets(
        CropMaps(rgb, mask, known, nothing, nothing),
        NormalMaps(normal, normal, mask, mask, "exact"),
        mask > 0,
        (16, N),
        place,
    )
    guide = make_guidance("mirror", rgb, mask, nothing, nothing, known, place)
    tight = torch.ones(8, 8, device=place)
    problem = FitProblem(targets, guide, tight, (-0.5, 0.5, -0.5, 0.5), "none")
    field = _field("cuda")
    loop = FieldOptimizer(field, problem, loop.settings, ignore_events, lambda step: None, None)
    for step in range(3):
        loop._step(step)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(3, 12):
            loop._step(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")

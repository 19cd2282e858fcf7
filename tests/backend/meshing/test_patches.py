"""Patches against their definition, and fabrics that go on through a hole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.meshing.patch_kernels import RADIUS, patch_cost, search
from backend.meshing.patches import Canvas, fill, mean_inside

N = 96


def cost_by_definition(
    picture: np.ndarray,
    current: np.ndarray,
    tone: np.ndarray,
    along: np.ndarray,
    part: np.ndarray,
    here: tuple[int, int],
    there: tuple[int, int],
) -> float:
    """The readable twin of ``patch_cost``."""

    def patch(values: np.ndarray, y: int, x: int) -> np.ndarray:
        return values[y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1]

    color = ((patch(current, *here) - patch(picture, *there)) ** 2).sum(-1).mean()
    beyond = max(abs(along[here] - along[there]) - 8.0, 0.0)
    other = 0.3 * (part[here] != part[there])
    return float(color + 4.0 * ((tone[here] - tone[there]) ** 2).sum() + 1e-4 * beyond**2 + other)


@pytest.fixture
def noise() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    picture, current, tone = (rng.random((40, 48, 3)) for _ in range(3))
    along = rng.uniform(0, 60, (40, 48))
    return picture, current, tone, along, rng.integers(1, 4, (40, 48)).astype(np.uint8)


def test_costs_are_their_definition(noise: tuple[np.ndarray, ...]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        y, v = rng.integers(RADIUS, 40 - RADIUS, 2).tolist()
        x, u = rng.integers(RADIUS, 48 - RADIUS, 2).tolist()
        expected = cost_by_definition(*noise, (y, x), (v, u))
        assert patch_cost(*noise, y, x, v, u, 1e18) == pytest.approx(expected, rel=1e-9)
        assert patch_cost(*noise, y, x, v, u, expected / 2) > expected / 2


def test_the_search_comes_near_the_nearest_of_all_patches() -> None:
    rng = np.random.default_rng(2)
    smooth = mean_inside(rng.random((40, 48, 3)), np.ones((40, 48), bool), 1.5) * 4.0
    plain, part = np.zeros((40, 48)), np.ones((40, 48), np.uint8)
    tone = np.zeros((40, 48, 3))
    allowed = np.zeros((40, 48), bool)
    allowed[RADIUS:-RADIUS, RADIUS:20] = True
    targets = np.argwhere(np.pad(np.ones((20, 14), bool), ((10, 10), (28, 6))))
    nearest = np.zeros((40, 48, 2), np.int64)
    nearest[..., :] = 10
    cost = np.full((40, 48), np.inf)
    maps = (smooth, smooth, tone, plain, part)
    search(*maps, targets, allowed, nearest, cost, 4, np.random.default_rng(0))
    found = cost[targets[:, 0], targets[:, 1]]
    places = [(int(v), int(u)) for v, u in np.argwhere(allowed)]
    sample = range(0, len(targets), 9)
    best = [
        min(cost_by_definition(*maps, tuple(targets[k].tolist()), place) for place in places)
        for k in sample
    ]
    kept = found[list(sample)]
    assert (kept >= np.array(best) - 1e-12).all()
    assert kept.mean() < 1.15 * np.mean(best)
    y, x = targets[7].tolist()
    told = cost_by_definition(*maps, (y, x), tuple(nearest[y, x].tolist()))
    assert found[7] == pytest.approx(told)


def canvas(rgb: np.ndarray, hole: np.ndarray) -> Canvas:
    """Rows are places along one limb; in the hole stand the tones alone."""
    rows = np.indices(hole.shape)[0].astype(np.float64)
    guess = mean_inside(rgb, np.ones_like(hole), 6.0)
    return Canvas(
        np.where(hole[..., None], guess, rgb), hole, ~hole, np.ones(hole.shape, np.uint8), rows
    )


def stripes(period: int = 8) -> np.ndarray:
    """Upright stripes, red and white."""
    white = ((np.arange(N) // (period // 2)) % 2).astype(np.float64)
    return np.stack([np.ones((N, N)), np.tile(white, (N, 1)), np.tile(white, (N, 1))], -1)


@pytest.fixture
def hole() -> np.ndarray:
    inside = np.zeros((N, N), bool)
    inside[30:66, 40:64] = True
    return inside


def test_stripes_go_on_through_a_hole(hole: np.ndarray) -> None:
    truth = stripes()
    start = canvas(truth, hole)
    found = fill(start)
    before = np.abs(start.rgb - truth)[hole].mean()
    assert before > 0.25
    assert np.abs(found - truth)[hole].mean() < 0.15 * before
    np.testing.assert_allclose(found[~hole], truth[~hole], atol=1e-6)


def test_the_same_seed_gives_the_same_picture(hole: np.ndarray) -> None:
    start = canvas(np.random.default_rng(0).random((N, N, 3)), hole)
    np.testing.assert_array_equal(fill(start, 3), fill(start, 3))
    assert np.abs(fill(start, 3) - fill(start, 4))[hole].max() > 0.0


def test_tones_of_the_guess_are_kept(hole: np.ndarray) -> None:
    """Red cloth below, blue above, and the guess moves the seam into the hole."""
    rng = np.random.default_rng(0)
    rgb = rng.uniform(0.0, 0.1, (N, N, 3))
    rgb[:48, :, 2] += 0.8
    rgb[48:, :, 0] += 0.8
    start = canvas(rgb, hole)
    moved = start.rgb.copy()
    moved[30:54, 40:64] = [0.05, 0.05, 0.85]
    moved[54:66, 40:64] = [0.85, 0.05, 0.05]
    found = fill(replace(start, rgb=moved, along=np.zeros((N, N))))
    assert found[32:52, 44:60, 2].mean() > 0.75
    assert found[56:64, 44:60, 0].mean() > 0.75


def test_patches_come_from_the_same_limb_and_height(hole: np.ndarray) -> None:
    """Three sources of one tone: stripes of two kinds, of which one is another limb's or another place's."""
    fine, coarse = stripes(4), stripes(16)
    rgb = np.where((np.arange(N) < 34)[None, :, None], fine, coarse)
    rgb[20:76, 34:70] = rgb.mean((0, 1))
    inside = np.zeros((N, N), bool)
    inside[24:72, 38:66] = True
    left = np.zeros((N, N), bool)
    left[:, :34] = True
    source = left | (np.arange(N) >= 70)[None]
    start = Canvas(rgb, inside, source, np.ones((N, N), np.uint8), np.zeros((N, N)))

    def changes(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture[30:66, 44:60, 1], axis=1)).mean())

    own_left = np.where(left | inside, 1, 2).astype(np.uint8)
    own_right = np.where(left, 2, 1).astype(np.uint8)
    assert changes(fill(replace(start, part=own_left))) > 2.0 * changes(
        fill(replace(start, part=own_right))
    )
    near_left = np.where(left | inside, 0.0, 400.0)
    near_right = np.where(left, 400.0, 0.0)
    assert changes(fill(replace(start, along=near_left))) > 2.0 * changes(
        fill(replace(start, along=near_right))
    )


def test_without_anything_to_take_the_guess_stays(hole: np.ndarray) -> None:
    start = replace(canvas(stripes(), hole), source=np.zeros((N, N), bool))
    np.testing.assert_allclose(fill(start), start.rgb, atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_without_a_hole_or_on_a_scrap_nothing_changes() -> None:
    whole = canvas(stripes(), np.zeros((N, N), bool))
    np.testing.assert_allclose(fill(whole), whole.rgb, atol=1e-6)
    scrap = np.zeros((5, 9), bool)
    scrap[2:, 2:] = True
    small = canvas(np.full((5, 9, 3), 0.5), scrap)
    np.testing.assert_allclose(fill(small), small.rgb, atol=1e-6)


def test_means_are_of_what_is_inside() -> None:
    values = np.zeros((32, 32, 1))
    values[:, 16:] = 1.0
    inside = np.zeros((32, 32), bool)
    inside[:, 16:] = True
    np.testing.assert_allclose(mean_inside(values, inside, 3.0)[:, 17:], 1.0, atol=1e-3)

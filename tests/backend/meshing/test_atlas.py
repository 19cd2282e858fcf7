"""Packing: nothing overlaps, margins are kept, densities are as asked, nothing is too much."""

import numpy as np
import pytest
import trimesh

from backend.geometry.mesh import Mesh
from backend.meshing.atlas import MARGIN, pack
from backend.meshing.charts import Charts, make_charts

SIDE = 512


@pytest.fixture(scope="module")
def charts() -> Charts:
    knot = trimesh.creation.torus(1.0, 0.35, 48, 24)
    return make_charts(Mesh(np.asarray(knot.vertices), np.asarray(knot.faces, np.int32)))


def spots(texels: np.ndarray, rng: np.random.Generator, each: int = 60) -> np.ndarray:
    """(f, each, 2) random places on the faces, corners included."""
    weight = rng.dirichlet([0.5] * 3, (len(texels), each))
    weight[:, :3] = np.eye(3)
    return np.einsum("fsk,fkd->fsd", weight, texels)


def test_charts_keep_their_distance(charts: Charts) -> None:
    atlas = pack(charts, np.ones(charts.count), SIDE)
    places = spots(atlas.texels, np.random.default_rng(0))
    assert places.min() >= MARGIN - 1e-9
    assert places.max() <= SIDE - MARGIN + 1e-9
    owner = np.full((SIDE, SIDE), -1)
    column, row = np.floor(places).astype(int).transpose(2, 0, 1)
    for chart in range(charts.count):
        mine = charts.of_face == chart
        around = owner[
            np.clip(row[mine][..., None, None] + np.arange(-1, 2)[:, None], 0, SIDE - 1),
            np.clip(column[mine][..., None, None] + np.arange(-1, 2), 0, SIDE - 1),
        ]
        # No texel of another chart, and none next to one.
        assert (around == -1).all()
        own = np.zeros((SIDE, SIDE), bool)
        own[row[mine], column[mine]] = True
        owner[own] = chart


def test_the_texture_is_used_and_weights_are_densities(charts: Charts) -> None:
    weight = np.where(np.arange(charts.count) == 0, 0.5, 1.0)
    atlas = pack(charts, weight, SIDE)
    pixels = np.linalg.norm(atlas.texels - np.roll(atlas.texels, 1, 1), axis=2)
    length = np.linalg.norm(charts.corners - np.roll(charts.corners, 1, 1), axis=2)
    wanted = atlas.density * weight[charts.of_face][:, None] * length
    np.testing.assert_allclose(pixels, wanted, atol=1e-6)
    edges = atlas.texels[:, 1:] - atlas.texels[:, :1]
    area = 0.5 * np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).sum()
    assert area > 0.3 * SIDE**2


def test_uv_run_up_and_stay_inside(charts: Charts) -> None:
    atlas = pack(charts, np.ones(charts.count), SIDE)
    uv = atlas.uv.reshape(-1, 3, 2)
    assert uv.dtype == np.float32
    np.testing.assert_allclose(uv[..., 0] * SIDE, atlas.texels[..., 0], atol=1e-3)
    np.testing.assert_allclose((1 - uv[..., 1]) * SIDE, atlas.texels[..., 1], atol=1e-3)
    # A face seen from its view turns the same way in the texture: pictures are not mirrored.
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    assert (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0).all()


def test_hundreds_of_scraps_fit_the_smallest_texture() -> None:
    count = 3000
    rng = np.random.default_rng(1)
    corners = rng.random((count, 3, 2)) * 0.01 + rng.random((count, 1, 2))
    scraps = Charts(np.arange(count), np.zeros(count, np.int64), corners)
    atlas = pack(scraps, np.ones(count), 256)
    assert atlas.texels.min() >= 0
    assert atlas.texels.max() <= 256

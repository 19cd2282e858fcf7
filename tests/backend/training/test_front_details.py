"""Details of the trunk's front: the same in every view, none behind, nothing else touched."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from backend.body.model import Region
from backend.training import front_details
from backend.training.front_details import with_front_details
from backend.training.prior_batches import BatchShape, draw_batch
from backend.training.prior_store import PeopleSplit

# Of the ellipsoid people's 16 views, 22.5 degrees apart.
FRONT, QUARTER, BACK = 0, 2, 8


def test_details_are_in_front_alone(packed: PeopleSplit) -> None:
    views = packed.train[0].views([FRONT, QUARTER, BACK])
    changed = np.zeros(views.color.shape[:3], bool)
    for seed in range(12):
        painted = with_front_details(views, np.random.default_rng(seed))
        changed |= np.abs(painted.color - views.color).max(-1) > 0.02
        np.testing.assert_array_equal(painted.color[..., 3], views.color[..., 3])
        assert painted.color.min() >= 0.0
        assert painted.color.max() <= 1.0
    assert changed[0].sum() > 300
    assert changed[1].sum() > 200
    # From behind at most the rim, whose pixels still lie on the front half.
    assert not changed[views.canonical[..., 2] < -0.05].any()
    assert changed[2].sum() < 60
    assert not changed[views.region == Region.HEAD].any()


@pytest.mark.parametrize("kind", range(len(front_details._KINDS)))
def test_every_kind_paints_the_same_place_in_every_view(
    packed: PeopleSplit, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chances = tuple(float(k == kind) for k in range(len(front_details._KINDS)))
    monkeypatch.setattr(front_details, "_CHANCES", chances)
    views = packed.train[0].views([FRONT, QUARTER])
    painted = with_front_details(views, np.random.default_rng(3))
    change = np.abs(painted.color - views.color).max(-1)
    shown = views.near > 0
    distance, index = cKDTree(views.canonical[1][shown[1]]).query(views.canonical[0][shown[0]])
    first, second = change[0][shown[0]], change[1][shown[1]][index]
    painted_twice = (first > 0.1) & (distance < 0.01)
    assert painted_twice.sum() > 8
    # All but the edges, where a pixel is a mixture.
    assert (second[painted_twice] > 0.02).mean() > 0.8


def test_a_batch_has_as_many_as_asked_for(packed: PeopleSplit) -> None:
    def batch(share: float) -> np.ndarray:
        shape = BatchShape(people=6, targets=2, width=64, front_details=share)
        return draw_batch(packed.train, shape, np.random.default_rng(5)).photo.numpy()

    never = [batch(0.0), batch(0.0)]
    np.testing.assert_array_equal(*never)
    assert np.abs(batch(1.0) - never[0]).max() > 0.1

"""Places on the body: their box, their axes, and the face among them."""

from __future__ import annotations

import numpy as np
import pytest

from backend.body.anny_body import AnnyBody
from backend.body.canonical import LONGEST_SIDE, canonical_places
from backend.body.model import Region
from backend.guidance.correspondence import is_face


def test_places_fill_their_box_and_know_left_up_and_front() -> None:
    body = AnnyBody()
    places = canonical_places(body)
    low, high = places.min(0), places.max(0)
    np.testing.assert_allclose(low, -high, atol=1e-9)
    assert (high - low).max() == pytest.approx(LONGEST_SIDE)
    assert np.abs(places).max() < 1.0
    np.testing.assert_array_equal(places, canonical_places(body))

    parts = np.asarray(body.regions, np.uint8)
    head, feet = places[parts == Region.HEAD], places[parts == Region.FEET]
    assert head[:, 1].min() > feet[:, 1].max() + 1.0
    # Toes reach forward of the heels; left and right are alike.
    assert feet[:, 2].max() > -feet[:, 2].min()
    assert np.mean(places[:, 0] > 0) == pytest.approx(0.5, abs=0.02)

    face = is_face(places.astype(np.float32), parts)
    nose = np.argmax(np.where(parts == Region.HEAD, places[:, 2], -1.0))
    assert face[nose]
    assert not face[(parts == Region.HEAD) & (places[:, 2] < 0.0)].any()
    assert not face[parts != Region.HEAD].any()

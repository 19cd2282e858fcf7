"""Every pixel of a view finds its own place in the photo, and a face stays on its side of the head."""

from __future__ import annotations

import numpy as np
import pytest
from ellipsoid_people import HEAD, SIDE, TRUNK, body_picture
from scipy.ndimage import distance_transform_edt

from backend.body.model import Region
from backend.guidance.correspondence import (
    REACH,
    BodyPicture,
    PhotoIndex,
    carry_colors,
    is_face,
    surround,
)

EVERYWHERE = np.ones((SIDE, SIDE), bool)
ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE]


def test_places_reach_so_far_and_are_those_of_the_nearest_pixel() -> None:
    body = body_picture(30.0)
    around = surround(body)
    away = distance_transform_edt(body.region == 0)
    assert around.near[away < REACH * SIDE - 0.5].all()
    assert not around.near[away > REACH * SIDE + 0.5].any()
    column, row = around.nearest.astype(int).transpose(2, 0, 1)
    assert (body.region[row, column] > 0).all()
    reached = np.hypot(column - COLUMNS, row - ROWS)
    np.testing.assert_allclose(reached[around.near], away[around.near], atol=0.5)
    near = around.near[..., None]
    np.testing.assert_array_equal(around.canonical, body.canonical[row, column] * near)
    np.testing.assert_array_equal(around.region, body.region[row, column])


def test_the_photos_own_view_maps_to_itself() -> None:
    body = body_picture(0.0)
    around = surround(body)
    places = PhotoIndex(body, EVERYWHERE).look_up(around, 0.0)
    np.testing.assert_array_equal(places.valid, around.near)
    away = np.hypot(places.xy[..., 0] - COLUMNS, places.xy[..., 1] - ROWS)
    assert away[around.near].max() <= 0.5


def test_the_back_takes_what_lies_before_it_mirrored() -> None:
    back = body_picture(180.0)
    places = PhotoIndex(body_picture(0.0), EVERYWHERE).look_up(surround(back), 180.0)
    middle = np.abs(back.canonical[..., 0]) < 0.6 * TRUNK[1][0]
    trunk = middle & np.isin(back.region, (Region.UPPER, Region.LOWER))
    assert trunk.sum() > 500
    away = np.abs(places.xy - np.stack([SIDE - 1 - COLUMNS, ROWS], -1))[trunk]
    assert away.max() < 1.5
    assert places.valid[trunk].all()
    # Beside the body the photo is followed outwards, which from behind is the other way.
    beside = surround(back).near & (back.region == 0) & (np.abs(ROWS - 80) < 10)
    left = beside & (COLUMNS < SIDE // 2)
    assert (places.xy[left][:, 0] > SIDE // 2).all()


@pytest.mark.parametrize("azimuth", [112.5, 135.0, 180.0, 225.0])
def test_a_face_never_lands_behind_the_ears(azimuth: float) -> None:
    front, view = body_picture(0.0), body_picture(azimuth)
    face = is_face(front.canonical, front.region)
    assert face.sum() > 100
    places = PhotoIndex(front, EVERYWHERE).look_up(surround(view), azimuth)
    behind = (view.region == Region.HEAD) & (view.canonical[..., 2] < 0.0)
    assert behind.sum() > 50
    # How deep in the face the pixels lie that the head's back would take its colours from.
    column, row = places.xy.round().astype(int).transpose(2, 0, 1)
    depth = distance_transform_edt(face)[row, column]
    assert depth[behind & ~places.valid].max() > 4.0
    # Between face and hair a pixel may take a little of both.
    assert depth[behind & places.valid].max() <= 2.0
    middle = behind & (np.abs(view.canonical[..., 0]) < 0.05)
    middle &= np.abs(view.canonical[..., 1] - HEAD[0][1]) < 0.06
    assert not places.valid[middle].any()


def test_pixels_that_do_not_show_the_person_lend_nothing() -> None:
    front, view = body_picture(0.0), body_picture(45.0)
    right = COLUMNS >= SIDE // 2
    places = PhotoIndex(front, right).look_up(surround(view), 45.0)
    on_body = places.xy[view.region > 0]
    assert on_body[:, 0].min() >= SIDE // 2


def test_without_a_body_nothing_is_carried() -> None:
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    blank = BodyPicture(np.zeros((SIDE, SIDE, 3)), np.zeros((SIDE, SIDE, 3)), nothing)
    body = body_picture(0.0)
    for photo, view in ((blank, body), (body, blank)):
        places = PhotoIndex(photo, EVERYWHERE).look_up(surround(view), 0.0)
        assert not places.valid.any()
        assert not carry_colors(np.ones((SIDE, SIDE, 3)), places).any()


def test_colours_are_carried_bilinearly() -> None:
    places = PhotoIndex(body_picture(0.0), EVERYWHERE).look_up(surround(body_picture(60.0)), 60.0)
    ramp = np.stack([COLUMNS, ROWS], -1).astype(np.float32)
    inside = (places.xy > 0).all(-1) & (places.xy < SIDE - 1).all(-1) & places.valid
    # OpenCV rounds places to 1/32 of a pixel.
    np.testing.assert_allclose(carry_colors(ramp, places)[inside], places.xy[inside], atol=0.04)
    assert not carry_colors(ramp, places)[~places.valid].any()

"""What the compact prior is told of a view: names, ranges, and the photo's own colours in its own view."""

from __future__ import annotations

import numpy as np
from ellipsoid_people import SIDE, body_picture, clothed_picture

from backend.body.model import Region
from backend.guidance.compact_network import MAPS
from backend.guidance.view_maps import PhotoOnBody


def test_maps_of_a_view() -> None:
    picture = clothed_picture(0.0, seed=5)
    photo = picture[..., :3] * picture[..., 3:] + 0.5 * (1.0 - picture[..., 3:])
    left = np.arange(SIDE)[None] < SIDE // 2
    solid = (picture[..., 3] > 0.8) & left
    carrier = PhotoOnBody(photo, solid, body_picture(0.0))
    for azimuth in (0.0, 60.0, 180.0):
        body = body_picture(azimuth)
        maps = {name: each.numpy() for name, each in carrier.maps(body, azimuth).items()}
        assert {name: len(each) for name, each in maps.items()} == dict(MAPS)
        on_body, near = body.region > 0, maps["near"][0] > 0
        np.testing.assert_array_equal(maps["body_normal"].transpose(1, 2, 0), body.normal)
        np.testing.assert_array_equal(maps["canonical"][:, on_body].T, body.canonical[on_body])
        assert not maps["canonical"][:, ~near].any()
        np.testing.assert_array_equal(maps["parts"].sum(0), on_body)
        np.testing.assert_array_equal(maps["parts"][1] > 0, body.region == Region.UPPER)
        valid = maps["warp_valid"][0] > 0
        assert not (valid & ~near).any()
        assert not maps["warp"][:, ~valid].any()
    own = carrier.maps(body_picture(0.0), 0.0)["warp"].numpy()
    shown = (body_picture(0.0).region > 0) & solid
    wrong = np.abs(own.transpose(1, 2, 0) - (photo * 2.0 - 1.0))[shown]
    assert wrong.mean() < 0.02

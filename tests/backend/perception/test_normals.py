"""Normal maps of a sphere that stands for the body, against the sphere's own normals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from perception_support import disc_subject, sphere_body

from backend.body.model import Region
from backend.geometry.cameras import pixel_centers
from backend.geometry.frames import CropFrame
from backend.perception.normals import EXTENSION_TRUST, BodyNormals

N = 128
CENTER = (0.2, 0.1, 0.05)
RADIUS = 0.5


def sphere_normals(sign: float) -> tuple[np.ndarray, np.ndarray]:
    """World normals that the camera at azimuth 0 (sign 1) or 180 (-1) sees, and where."""
    xy = pixel_centers(N).reshape(N, N, 2)
    x = sign * xy[..., 0] - CENTER[0]
    y = xy[..., 1] - CENTER[1]
    inside = np.hypot(x, y) < RADIUS
    z = sign * np.sqrt(np.maximum(RADIUS**2 - x**2 - y**2, 0))
    return np.stack([x, y, z], -1) / RADIUS, inside


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((one * other).sum(-1), -1, 1)))


def test_tight_silhouette_gives_the_bodys_normals() -> None:
    u, v = (CENTER[0] + 1) * N / 2, (1 - CENTER[1]) * N / 2
    subject, crop, frame = disc_subject(N, (u, v), RADIUS * N / 2, Region.HEAD)
    maps = BodyNormals().estimate(subject, sphere_body(RADIUS, CENTER), crop, frame, N)
    for view, weight, sign in (
        (maps.front, maps.front_weight, 1.0),
        (maps.back, maps.back_weight, -1.0),
    ):
        truth, inside = sphere_normals(sign)
        core = inside & (sign * truth[..., 2] > 0.3)
        assert degrees(view, truth)[core].max() < 4.0
        assert weight[core].min() > EXTENSION_TRUST + 0.1
        assert weight[core & (sign * truth[..., 2] > 0.6)].min() > 0.99
        assert weight[~inside].max() < 0.5
        far = ~inside
        far[:, : N // 8] = True
        assert weight[:, : N // 8].max() == 0.0
        np.testing.assert_allclose(np.linalg.norm(view, axis=-1), 1, atol=1e-5)
        assert (sign * view[..., 2]).min() > -0.2


def test_clothes_that_stand_off_turn_away_at_the_silhouette() -> None:
    wide = 0.72
    u, v = (CENTER[0] + 1) * N / 2, (1 - CENTER[1]) * N / 2
    subject, crop, frame = disc_subject(N, (u, v), wide * N / 2, Region.UPPER)
    maps = BodyNormals().estimate(subject, sphere_body(RADIUS, CENTER), crop, frame, N)
    xy = pixel_centers(N).reshape(N, N, 2) - np.array(CENTER[:2])
    distance = np.linalg.norm(xy, axis=-1)
    outward = np.concatenate([xy / distance[..., None], np.zeros((N, N, 1))], -1)
    rim = (distance > wide - 0.03) & (distance < wide - 0.01)
    assert np.median(degrees(maps.front, outward)[rim]) < 30
    ring = (distance > RADIUS + 0.02) & (distance < wide - 0.04)
    np.testing.assert_allclose(maps.front_weight[ring], EXTENSION_TRUST, atol=0.02)
    radial = (maps.front * outward).sum(-1)
    inner = radial[(distance > 0.3) & (distance < 0.4)].mean()
    middle = radial[(distance > 0.5) & (distance < 0.6)].mean()
    assert inner < middle < radial[rim].mean()
    assert maps.front_weight[distance < 0.3].min() > 0.99


def test_beyond_the_photo_the_body_alone_speaks() -> None:
    subject, _, frame = disc_subject(N, (N / 2, N / 2), RADIUS * N / 2, Region.UPPER)
    half = N // 2
    cut = replace(
        subject,
        photo=replace(subject.photo, rgb=subject.photo.rgb[:half]),
        mask=subject.mask[:half],
        regions=subject.regions[:half],
    )
    crop = CropFrame(N / 2.0, N / 2.0, N / 2.0)
    maps = BodyNormals().estimate(cut, sphere_body(RADIUS, (0, 0, 0)), crop, frame, N)
    below = maps.front[half + 3 : half + 12, N // 2 - 10 : N // 2 + 10]
    weight = maps.front_weight[half + 3 : half + 12, N // 2 - 10 : N // 2 + 10]
    assert weight.min() > 0.9
    assert (below[..., 1] < 0.02).all(), "the lower half of the sphere faces down"
    assert maps.front_weight[half + 10 :, :10].max() == 0.0

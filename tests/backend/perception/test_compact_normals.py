"""The compact normal estimator around its network: conditions, sides, edges, trust."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from perception_support import as_photo, disc_subject, sphere_body

from backend.body.anny_body import AnnyBody
from backend.body.model import Region
from backend.body.pose import BodyPose
from backend.geometry.cameras import pixel_centers
from backend.geometry.frames import CropFrame, FieldToWorld
from backend.geometry.mesh import vertex_normals
from backend.perception.body_pictures import BodyPictures, draw_body, network_conditions
from backend.perception.compact_normal_network import (
    CONDITIONS,
    NormalNetwork,
    NormalNetworkShape,
)
from backend.perception.compact_normals import (
    TRUSTED_ERROR,
    CompactNormals,
    _with_relief,
    both_ways,
    draped,
    trust,
)
from backend.perception.normal_weights import load_normal_network
from backend.perception.normals import BodyNormals
from backend.perception.subject import Landmarks, Subject

N = 128
CENTER = (0.2, 0.1, 0.05)
RADIUS = 0.5
TINY = NormalNetworkShape(fold=4, widths=(16, 16), blocks=1, groups=4)


def network(seed: int = 0, *, trained: bool) -> NormalNetwork:
    torch.manual_seed(seed)
    made = NormalNetwork(TINY)
    if trained:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.08)
    return made.eval().requires_grad_(False)


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((one * other).sum(-1), -1, 1)))


def truth(sign: float) -> tuple[np.ndarray, np.ndarray]:
    """The sphere's normals from azimuth 0 (sign 1) or 180 (-1), and where."""
    xy = pixel_centers(N).reshape(N, N, 2)
    x, y = sign * xy[..., 0] - CENTER[0], xy[..., 1] - CENTER[1]
    z = sign * np.sqrt(np.maximum(RADIUS**2 - x**2 - y**2, 0))
    return np.stack([x, y, z], -1) / RADIUS, np.hypot(x, y) < RADIUS


def test_the_body_is_drawn_from_both_sides_in_the_photos_pixels() -> None:
    body = sphere_body(RADIUS, CENTER)
    points = body.vertices.astype(np.float64)
    drawn = draw_body(points, vertex_normals(points, body.faces), body.faces, body.regions, N)
    front, inside = truth(1.0)
    core = inside & (front[..., 2] > 0.3)
    assert degrees(drawn.front, front)[core].max() < 4.0
    assert degrees(drawn.back, front * [1, 1, -1])[core].max() < 4.0
    assert (drawn.region[core] == Region.HEAD).all()
    assert not drawn.region[~inside].any()
    assert not drawn.front[drawn.region == 0].any()

    rgb = np.random.default_rng(0).random((N, N, 3))
    mask = inside.astype(np.float32)
    told = network_conditions(rgb, mask, drawn)
    assert told.shape == (CONDITIONS, N, N)
    np.testing.assert_allclose(told[:3].transpose(1, 2, 0)[core], rgb[core] * 2 - 1, atol=1e-6)
    assert not told[:4, ~inside].any()
    np.testing.assert_array_equal(told[10], drawn.region == Region.HEAD)
    assert not told[11:].any()


def test_an_untrained_network_repeats_the_body_on_both_sides() -> None:
    u, v = (CENTER[0] + 1) * N / 2, (1 - CENTER[1]) * N / 2
    subject, crop, frame = disc_subject(N, (u, v), RADIUS * N / 2, Region.HEAD)
    estimator = CompactNormals(network(trained=False))
    maps = estimator.estimate(subject, sphere_body(RADIUS, CENTER), crop, frame, N)
    assert maps.provider == "compact"
    assert not maps.front_from_body
    assert not maps.back_from_body
    for view, weight, sign in (
        (maps.front, maps.front_weight, 1.0),
        (maps.back, maps.back_weight, -1.0),
    ):
        expected, inside = truth(sign)
        core = inside & (sign * expected[..., 2] > 0.3)
        assert degrees(view, expected)[core].max() < 5.0
        np.testing.assert_allclose(np.linalg.norm(view, axis=-1), 1, atol=1e-5)
        # exp(0) = 1 is what it expects to err, and how far that is trusted.
        np.testing.assert_allclose(weight[core], float(trust(np.zeros((1, 1)))[0, 0]), rtol=1e-4)
        assert weight[~inside].max() < 0.2


def test_where_there_is_no_body_normals_face_their_camera_and_end_at_unit_length() -> None:
    subject, crop, frame = disc_subject(N, (N / 2, N / 2), 0.8 * N / 2, Region.UPPER)
    estimator = CompactNormals(network(trained=False))
    maps = estimator.estimate(subject, sphere_body(0.3, (0, 0, 0)), crop, frame, N)
    away = np.linalg.norm(pixel_centers(N), axis=1).reshape(N, N)
    ring = (away > 0.35) & (away < 0.75)
    np.testing.assert_allclose(maps.front[ring], np.tile([0, 0, 1], (ring.sum(), 1)), atol=1e-5)
    np.testing.assert_allclose(maps.back[ring], np.tile([0, 0, -1], (ring.sum(), 1)), atol=1e-5)


def test_a_mirrored_picture_gets_the_mirrored_answer() -> None:
    trained = network(3, trained=True)
    torch.manual_seed(1)
    picture = torch.randn(1, CONDITIONS, 32, 32)
    mirrored = picture.flip(-1)
    mirrored[:, [4, 7]] *= -1
    found, other = both_ways(trained, picture), both_ways(trained, mirrored)
    sign = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    torch.testing.assert_close(other.front, sign * found.front.flip(-1))
    torch.testing.assert_close(other.back, sign * found.back.flip(-1))
    torch.testing.assert_close(other.back_log_error, found.back_log_error.flip(-1))
    assert (found.front - picture[:, 4:7]).abs().max() > 0.1


def test_trust_falls_with_the_expected_error() -> None:
    errors = np.array([[1e-6, 0.5 * TRUSTED_ERROR, TRUSTED_ERROR, 2 * TRUSTED_ERROR]])
    np.testing.assert_allclose(trust(np.log(errors)), [[1.0, 0.8, 0.5, 0.2]], atol=1e-5)


def test_beyond_the_photo_the_body_speaks() -> None:
    subject, _, frame = disc_subject(N, (N / 2, N / 2), RADIUS * N / 2, Region.UPPER)
    half = N // 2
    cut = replace(
        subject,
        photo=replace(subject.photo, rgb=subject.photo.rgb[:half]),
        mask=subject.mask[:half],
        regions=subject.regions[:half],
    )
    crop = CropFrame(N / 2.0, N / 2.0, N / 2.0)
    body = sphere_body(RADIUS, (0.1, 0, 0))
    maps = CompactNormals(network(5, trained=True)).estimate(cut, body, crop, frame, N)
    alone = BodyNormals().estimate(cut, body, crop, frame, N)
    np.testing.assert_array_equal(maps.front[half + 1 :], alone.front[half + 1 :])
    np.testing.assert_array_equal(maps.back[half + 1 :], alone.back[half + 1 :])
    np.testing.assert_array_equal(maps.back_weight[half + 1 :], alone.back_weight[half + 1 :])
    above = (slice(half - 12, half - 2), slice(half - 10, half + 10))
    assert degrees(maps.front[above], alone.front[above]).mean() > 1.0


def test_the_shipped_network_sees_a_skirt_where_the_body_has_two_legs() -> None:
    model = AnnyBody()
    body = model.pose(BodyPose.t_pose(model.n_betas))
    low, high = body.vertices.min(0), body.vertices.max(0)
    size = 256
    frame = FieldToWorld(1.0, tuple(float(x) for x in (low + high) / 2))
    xyz = frame.to_field(body.vertices.astype(np.float64))
    naked = draw_body(
        xyz, vertex_normals(xyz, body.faces), body.faces[body.outer_faces], body.regions, size
    )
    mask = (naked.region > 0).astype(np.float32)
    legs = np.isin(naked.region, (Region.LOWER,))
    rows = np.nonzero(legs.any(1))[0]
    top, knee = int(rows[0] + 0.1 * np.ptp(rows)), int(rows[0] + 0.65 * np.ptp(rows))
    middle = int(np.nonzero(legs[top])[0].mean())
    for row in range(top, knee):
        half = 22 + int(18 * (row - top) / (knee - top))
        mask[row, middle - half : middle + half] = 1.0
    gown = np.where(mask[..., None] > 0, np.float32([0.7, 0.2, 0.25]), np.float32(0.9))
    subject = Subject(
        photo=as_photo(gown),
        mask=mask,
        regions=naked.region,
        landmarks=Landmarks(np.zeros((33, 2)), np.zeros((33, 3)), np.ones(33)),
        caption="a gown",
    )
    crop = CropFrame(size / 2.0, size / 2.0, size / 2.0)
    maps = CompactNormals(load_normal_network()).estimate(subject, body, crop, frame, size)
    row = (top + 2 * knee) // 3
    across = slice(middle - 26, middle + 26)
    x = np.arange(52)
    # Seen from either side a skirt turns once from left to right, two legs turn twice.
    for view in (maps.front, maps.back[:, ::-1]):
        assert np.corrcoef(view[row, across, 0], x)[0, 1] > 0.9
    legs_turn = np.corrcoef(naked.front[row, across, 0], x)[0, 1]
    assert legs_turn < 0.8
    assert (maps.front[..., 2][mask > 0] > -0.2).all()
    assert 0.3 < maps.front_weight[row, across].mean() <= 1.0


def test_a_naked_trunks_relief_is_not_told() -> None:
    n = 256
    rng = np.random.default_rng(0)
    slope = cv2.GaussianBlur(rng.standard_normal((n, n)), (0, 0), 6.0)
    bumps = np.stack([4.0 * slope, 0 * slope, np.ones((n, n))], -1)
    bumps /= np.linalg.norm(bumps, axis=-1, keepdims=True)
    trunk = np.zeros((n, n), bool)
    trunk[:, 64:192] = True
    told = draped(BodyPictures(bumps, bumps * [1, 1, -1], trunk.astype(np.uint8)), trunk)
    np.testing.assert_array_equal(told.front[~trunk], bumps[~trunk])
    np.testing.assert_allclose(np.linalg.norm(told.back, axis=-1), 1.0, atol=1e-6)
    for side in (told.front, told.back):
        assert side[trunk][:, 0].std() < 0.8 * bumps[trunk][:, 0].std()
    level = np.tile([0.6, 0.0, 0.8], (n, n, 1))
    same = draped(BodyPictures(level, level, trunk.astype(np.uint8)), trunk)
    np.testing.assert_allclose(same.front, level, atol=1e-6)


def test_a_faces_features_are_the_bodys() -> None:
    n = 64
    rng = np.random.default_rng(0)
    up = np.tile([0.0, 0.0, 1.0], (n, n, 1))
    body = up + 0.3 * rng.standard_normal((n, n, 3)) * [1, 1, 0]
    body /= np.linalg.norm(body, axis=-1, keepdims=True)
    face = np.zeros((n, n), np.float32)
    face[16:48, 16:48] = 1.0
    mixed = _with_relief(up, body, face)
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_allclose(mixed[face == 0], up[face == 0])
    inside = (slice(20, 44), slice(20, 44))
    assert degrees(mixed[inside], body[inside]).mean() < 0.35 * degrees(up, body)[inside].mean()

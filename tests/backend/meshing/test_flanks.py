"""Flanks of a body in patterned clothes: the pattern goes on round it, heads and hands stay."""

from __future__ import annotations

import numpy as np
import pytest

from backend.body.model import PosedBody
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.frames import FieldToWorld, PhotoCamera
from backend.geometry.mesh import ColoredMesh, Mesh, vertex_normals
from backend.geometry.rasterizer import rasterize
from backend.guidance.protocol import PaintedView
from backend.meshing.color_fit import FacePicture
from backend.meshing.flanks import SIDES, paint_flanks
from backend.meshing.photo_view import PhotoView
from backend.meshing.refine import split_edges, unique_edges
from backend.meshing.side_picture import SidePicture
from shared_protocol.skeleton import JOINT_INDEX

N = 256
CUBE = FieldToWorld(scale=1.0, shift=(0.0, -0.1, 0.0))
CAMERA = PhotoCamera(N / 2, N / 2, N / 2 - 0.1 * N / 2)


@pytest.fixture(scope="module")
def mesh(body: PosedBody) -> ColoredMesh:
    """The body's outer surface in the colours that flowed round it: plain."""
    fine = Mesh(body.vertices.astype(np.float32), body.faces[body.outer_faces].astype(np.int32))
    edges, of_face = unique_edges(fine.faces)
    fine = split_edges(fine, edges, of_face, np.ones(len(edges), bool))
    colors = np.full_like(fine.vertices, 0.5)
    return ColoredMesh(fine.vertices, fine.faces, colors, vertex_normals(fine.vertices, fine.faces))


def checks(squares: float = 0.35) -> np.ndarray:
    """Checks of 4 pixels, their mean that of the flanks."""
    y, x = np.indices((N, N)) // 4
    return np.repeat((0.5 + squares * (1 - 2 * ((x + y) % 2)))[..., None], 3, 2).astype(np.float32)


def photo_of(mesh: ColoredMesh, rgb: np.ndarray) -> tuple[FacePicture, PhotoView]:
    mask = rasterize(CUBE.to_field(mesh.vertices), mesh.faces, N).covered.astype(np.float32)
    return FacePicture(rgb, mask), PhotoView(rgb, mask, CAMERA)


def flank(mesh: ColoredMesh, azimuth: float) -> np.ndarray:
    """Vertices that face a side and stand out on it."""
    return mesh.normals @ OrthographicCamera(azimuth).axes()[2] > 0.97


def told(
    picture: SidePicture, mesh: ColoredMesh, where: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return picture.at(mesh.vertices[where], mesh.normals[where])


def test_a_pattern_goes_on_round_the_flank(mesh: ColoredMesh, body: PosedBody) -> None:
    photo, view = photo_of(mesh, checks())
    for azimuth, side in zip(SIDES, paint_flanks(mesh, photo, view, CUBE, body), strict=True):
        colors, weight = told(side, mesh, flank(mesh, azimuth))
        painted = weight > 0.9
        assert painted.sum() > 150
        # As much contrast as the photo has, around the same mean.
        assert colors[painted].std() > 0.5 * 0.35
        assert colors[painted].mean() == pytest.approx(0.5, abs=0.05)


def test_plain_cloth_keeps_what_flowed(mesh: ColoredMesh, body: PosedBody) -> None:
    photo, view = photo_of(mesh, checks(0.004))
    for side in paint_flanks(mesh, photo, view, CUBE, body):
        assert side.weight.max() < 0.05


def test_heads_hands_front_and_back_stay(mesh: ColoredMesh, body: PosedBody) -> None:
    photo, view = photo_of(mesh, checks())
    head = mesh.vertices[:, 1] > body.joints[JOINT_INDEX["head"], 1] + 0.03
    hand = np.abs(mesh.vertices[:, 0]) > body.joints[JOINT_INDEX["left_wrist"], 0] + 0.03
    straight = np.abs(mesh.normals[:, 2]) > 0.5
    assert head.sum() > 100
    assert hand.sum() > 100
    for side in paint_flanks(mesh, photo, view, CUBE, body):
        for kept in (head, hand, straight):
            # Straight on, but hidden behind an arm, is a flank too.
            assert (told(side, mesh, kept)[1] > 0.35).mean() < 0.01


def test_a_prior_moves_tones_as_far_as_it_says(mesh: ColoredMesh, body: PosedBody) -> None:
    """A photo of grey checks and red ones: the flank gets what the prior asks for."""
    rgb = checks(0.2)
    rgb[:, : N // 2] += np.float32([0.25, -0.25, -0.25])
    photo, view = photo_of(mesh, rgb)
    red = np.tile(np.float32([0.75, 0.25, 0.25]), (64, 64, 1))
    sure, silent = np.ones((64, 64), np.float32), np.zeros((64, 64), np.float32)
    views = [PaintedView(82.0, red, sure), PaintedView(278.0, red, silent)]
    before = paint_flanks(mesh, photo, view, CUBE, body)
    after = paint_flanks(mesh, photo, view, CUBE, body, views)
    np.testing.assert_array_equal(after[1].rgb, before[1].rgb)
    where = flank(mesh, SIDES[0])
    colors, weight = told(after[0], mesh, where)
    redness = [
        (found[weight > 0.9, 0] - found[weight > 0.9, 1]).mean()
        for found in (told(before[0], mesh, where)[0], colors)
    ]
    assert redness[0] == pytest.approx(0.0, abs=0.05)
    assert redness[1] > 0.35


def test_the_same_seed_gives_the_same_flanks(mesh: ColoredMesh, body: PosedBody) -> None:
    photo, view = photo_of(mesh, checks())
    first, again = (paint_flanks(mesh, photo, view, CUBE, body, seed=5) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.rgb, other.rgb)

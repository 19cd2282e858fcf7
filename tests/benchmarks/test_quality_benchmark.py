"""benchmarks/quality.py: its numbers against scenes whose answers are known."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import trimesh

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.export.glb import write_glb
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.meshing.texture import bake_texture
from backend.rigging.character import rig, scale_to_height
from shared_protocol.skeleton import JOINT_INDEX, N_JOINTS

ROOT = Path(__file__).parents[2]
CAMERA = PhotoCamera(pixels_per_metre=300.0, center_u=310.0, center_v=405.0)


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "quality_benchmark", ROOT / "benchmarks/quality.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up while the class is made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def ball(shift: float = 0.0, tone: float = 0.5) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=0.9)
    mesh.apply_translation([shift, 0.0, 0.0])
    color = np.round(255 * np.array([tone, tone, tone, 1.0])).astype(np.uint8)
    mesh.visual = trimesh.visual.ColorVisuals(
        mesh, vertex_colors=np.tile(color, (len(mesh.vertices), 1))
    )
    return mesh


def disc_mask(height: int = 800, width: int = 620) -> np.ndarray:
    """What an exact camera sees of the unshifted ball, supersampled 8 x 8."""
    sub = (np.arange(8) + 0.5) / 8
    v = (np.arange(height)[:, None] + sub).ravel()
    u = (np.arange(width)[:, None] + sub).ravel()
    inside = (u[None] - 310) ** 2 + (v[:, None] - 405) ** 2 <= (0.9 * 300) ** 2
    return inside.reshape(height, 8, width, 8).mean((1, 3))


def test_exact_silhouette_and_known_tone_error(quality: ModuleType) -> None:
    mask = disc_mask()
    square = quality.square_around(mask)
    assert square.center_u == pytest.approx(310, abs=0.5)
    assert square.half_size == pytest.approx(0.55 * 540, rel=0.01)
    shape = quality.resample(mask[..., None], square)[..., 0] >= 0.5
    drawing = quality.draw(ball(), CAMERA, square)
    assert quality.silhouette_iou(drawing.coverage >= 0.5, shape) > 0.995
    photo = np.full((512, 512, 3), 0.6)
    tone = round(255 * 0.5) / 255
    expected = 20 * np.log10(1 / (0.6 - tone))
    assert quality.foreground_psnr(drawing, photo, shape) == pytest.approx(expected, abs=0.01)


def test_shift_costs_the_silhouette_what_geometry_says(quality: ModuleType) -> None:
    mask = disc_mask()
    shifted = ball(shift=0.18)
    square = quality.enlarge(quality.square_around(mask), shifted, CAMERA)
    shape = quality.resample(mask[..., None], square)[..., 0] >= 0.5
    drawing = quality.draw(shifted, CAMERA, square)
    # Two unit circles whose centres lie d = 0.2 radii apart.
    d = 0.2
    lens = 2 * np.arccos(d / 2) - d / 2 * np.sqrt(4 - d * d)
    expected = lens / (2 * np.pi - lens)
    assert quality.silhouette_iou(drawing.coverage >= 0.5, shape) == pytest.approx(
        expected, abs=0.006
    )


def test_square_may_leave_the_photo(quality: ModuleType) -> None:
    picture = np.ones((100, 300, 1))
    mask = np.zeros((100, 300))
    mask[:, 20:260] = 1.0
    square = quality.square_around(mask)
    seen = quality.resample(picture, square)
    side = 2 * square.half_size
    assert seen.mean() == pytest.approx(100 * 1.0 * (side - 0.0) / side**2, rel=0.01)


def test_mesh_faults_are_found(quality: ModuleType) -> None:
    joints = np.zeros((N_JOINTS, 3))
    joints[:, 0] = 0.9
    whole = {check.name: check for check in quality.check_mesh(ball(), joints, 30_000)}
    assert all(check.passed for check in whole.values())
    open_ball = ball()
    open_ball.update_faces(np.arange(len(open_ball.faces)) > 0)
    two = trimesh.util.concatenate([ball(), ball(shift=5.0)])
    far = joints + np.array([0.0, 0.0, 0.5])
    assert not {c.name: c for c in quality.check_mesh(open_ball, joints, 30_000)}[
        "watertight"
    ].passed
    assert not {c.name: c for c in quality.check_mesh(two, joints, 90_000)}["pieces"].passed
    assert not {c.name: c for c in quality.check_mesh(ball(), joints, 100)}["faces"].passed
    assert not {c.name: c for c in quality.check_mesh(ball(), far, 30_000)}[
        "left hand: joint to mesh (m)"
    ].passed


def test_rig_of_a_real_export(quality: ModuleType, tmp_path: Path) -> None:
    model = load_body("anny")
    full_pose = np.zeros((N_JOINTS, 3), np.float32)
    full_pose[JOINT_INDEX["left_shoulder"]] = (0.0, 0.0, -1.0)
    betas = np.zeros(model.n_betas, np.float32)
    body = model.pose(BodyPose(betas, full_pose, np.zeros(3, np.float32)))
    used, faces = np.unique(body.faces[body.outer_faces], return_inverse=True)
    vertices, faces = body.vertices[used], faces.reshape(-1, 3).astype(np.int32)
    low, high = vertices.min(0), vertices.max(0)
    colors = ((vertices - low) / (high - low)).astype(np.float32)
    mesh = ColoredMesh(vertices, faces, colors, vertex_normals(vertices, faces))
    path = tmp_path / "body.glb"
    character = scale_to_height(rig(mesh, body), 1.62)[0]
    write_glb(path, character)
    assert quality.read_texture(path) is None
    right = quality.check_rig(path, 1.62)
    assert [check.passed for check in right] == [True] * 4
    wrong = {check.name: check for check in quality.check_rig(path, 1.75)}
    assert not wrong["T-pose height (m)"].passed
    assert wrong["T-pose height (m)"].value == pytest.approx(1.62, abs=1e-4)

    baked = bake_texture(mesh, 512)
    write_glb(path, replace(character, uv=baked.uv, texture=baked.image))
    assert [check.passed for check in quality.check_rig(path, 1.62)] == [True] * 4
    solid = trimesh.Trimesh(vertices, faces, process=False)
    solid.visual.vertex_colors = np.round(255 * colors).astype(np.uint8)
    middle = ((low + high) / 2).astype(float).tolist()
    camera = PhotoCamera(250.0, 256 - 250 * middle[0], 256 + 250 * middle[1])
    square = CropFrame(256.0, 256.0, 240.0)
    plain = quality.draw(solid, camera, square)
    textured = quality.draw(solid, camera, square, quality.read_texture(path))
    whole = plain.coverage > 0.99
    assert np.quantile(np.abs(plain.rgb - textured.rgb)[whole], 0.999) < 0.02

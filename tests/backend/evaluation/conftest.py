"""A subject whose truth is a coloured doll made of capsules, on disk and in memory."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from backend.evaluation.dataset import AZIMUTHS, BODY_JOINTS, NORMAL_AZIMUTHS, SIDE
from backend.evaluation.drawing import draw, draw_normals
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import ColoredMesh
from shared_protocol.skeleton import JOINT_NAMES

CENTER, HALF = (0.1, 0.9, 0.0), 1.0


def joints_of_doll() -> np.ndarray:
    """(55, 3): distinct places that no symmetry maps onto each other, metres."""
    drawn = np.random.default_rng(3)
    return drawn.uniform((-0.3, 0.1, -0.1), (0.3, 1.7, 0.1), (len(JOINT_NAMES), 3))


@pytest.fixture(scope="session")
def doll() -> ColoredMesh:
    """Trunk, head and one raised arm; colours vary with the place, body frame."""
    trunk = trimesh.creation.capsule(height=1.0, radius=0.18, count=[24, 24])
    trunk.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, (1, 0, 0)))
    trunk.apply_translation((0, 0.4, 0))
    head = trimesh.creation.icosphere(3, radius=0.14)
    head.apply_translation((0, 1.7, 0.03))
    arm = trimesh.creation.capsule(height=0.5, radius=0.06, count=[16, 16])
    arm.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, (0, 1, 0)))
    arm.apply_translation((0.1, 1.2, 0.02))
    whole = trimesh.util.concatenate([trunk, head, arm])
    vertices = np.asarray(whole.vertices, np.float64)
    colors = 0.5 + 0.5 * np.sin(vertices * (9.0, 14.0, 11.0) + (0.0, 1.0, 2.0))
    normals = np.asarray(whole.vertex_normals, np.float64)
    return ColoredMesh(vertices, np.asarray(whole.faces), colors, normals)


@pytest.fixture
def write_subject(doll: ColoredMesh) -> Callable[[Path], Path]:
    """Write the doll as one subject of a dataset into a folder."""

    def write(folder: Path) -> Path:
        (folder / "views").mkdir(parents=True)
        for azimuth in AZIMUTHS:
            camera = OrthographicCamera(float(azimuth), 0.0, HALF, CENTER)
            _save(folder / f"views/color_{azimuth:03d}.png", draw(doll, None, camera, SIDE))
        for azimuth in NORMAL_AZIMUTHS:
            camera = OrthographicCamera(float(azimuth), 0.0, HALF, CENTER)
            normals, covered = draw_normals(doll, camera, SIDE)
            rgba = np.concatenate([(normals + 1) / 2, covered[..., None]], 2)
            _save(folder / f"views/normal_{azimuth:03d}.png", rgba)
        trimesh.Trimesh(doll.vertices, doll.faces, process=False).export(folder / "mesh.ply")
        joints = dict(zip(JOINT_NAMES, joints_of_doll().tolist(), strict=True))
        assert set(BODY_JOINTS) <= set(joints)
        ortho = {"center": list(CENTER), "half_height": HALF}
        (folder / "body.json").write_text(json.dumps({"joints": joints, "ortho": ortho}))
        front = OrthographicCamera(0.0, 0.0, HALF, CENTER)
        _save(folder / "photo.png", draw(doll, None, front, SIDE))
        return folder

    return write


def _save(path: Path, rgba: np.ndarray) -> None:
    Image.fromarray(np.round(rgba * 255).astype(np.uint8)).save(path)

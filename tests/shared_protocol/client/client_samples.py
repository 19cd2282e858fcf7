"""Small documents for the client's tests."""

from __future__ import annotations

import json

import numpy as np

from shared_protocol.documents import BodyTemplate, CharacterData
from shared_protocol.messages import Camera, Fit, PhotoInfo, Pose
from shared_protocol.skeleton import N_JOINTS

POSE = Pose(
    model="anny_smplx55",
    betas=(0.1,) * 10,
    full_pose=(0.0,) * (3 * N_JOINTS),
    transl=(0.0, 0.9, 0.0),
)
CAMERA = Camera(pixels_per_metre=300.0, center_u=50.0, center_v=60.0)
PHOTO = PhotoInfo(width=100, height=120, sha256="0" * 64)
FIT = Fit(reprojection_error_px=3.0, silhouette_iou=0.9, seconds=0.1)

RUN_JSON = json.dumps(
    {
        "seconds": 12.0,
        "stages": {"optimization": 8.0, "meshing": 2.0},
        "peak_memory_mb": 900.0,
        "guidance": "mirror baseline",
        "warnings": ["Something to know."],
        "results": {"faces": 7, "joints": 55, "height_m": 1.75},
    }
).encode()


def template(vertices: int = 40) -> BodyTemplate:
    """A body of random points; every vertex follows one joint."""
    random = np.random.default_rng(5)
    weights = np.zeros((vertices, 8), np.float32)
    weights[:, 0] = 1.0
    return BodyTemplate(
        model="anny_smplx55",
        licence="CC0",
        vertices=random.normal(size=(vertices, 3)).astype(np.float32),
        shape_directions=random.normal(size=(vertices, 3, 10)).astype(np.float32),
        joints=random.normal(size=(N_JOINTS, 3)).astype(np.float32),
        joint_directions=random.normal(size=(N_JOINTS, 3, 10)).astype(np.float32),
        faces=random.integers(0, vertices, size=(60, 3), dtype=np.int32),
        skin_indices=random.integers(0, N_JOINTS, size=(vertices, 8), dtype=np.uint8),
        skin_weights=weights,
        regions=random.integers(0, 5, size=vertices, dtype=np.uint8),
    )


def character(vertices: int = 60_000) -> CharacterData:
    """A character of random points: with the default size several chunks on the wire."""
    random = np.random.default_rng(6)
    points = random.normal(size=(vertices, 3)).astype(np.float32)
    faces = random.integers(0, vertices, size=(2 * vertices, 3), dtype=np.int32)
    weights = np.zeros((vertices, 4), np.float32)
    weights[:, 0] = 1.0
    return CharacterData(
        name="person",
        pose=POSE,
        camera=CAMERA,
        photo=PHOTO,
        vertices=points,
        rest_vertices=points,
        faces=faces,
        colors=random.integers(0, 256, size=(vertices, 3), dtype=np.uint8),
        skin_indices=random.integers(0, N_JOINTS, size=(vertices, 4), dtype=np.uint8),
        skin_weights=weights,
        rest_joints=np.zeros((N_JOINTS, 3), np.float32),
        joints=np.zeros((N_JOINTS, 3), np.float32),
        uv=np.zeros((0, 2), np.float32),
    )

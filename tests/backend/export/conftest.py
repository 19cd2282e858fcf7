from dataclasses import replace

import numpy as np
import pytest

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.rigging.character import rig, scale_to_height
from shared_protocol.skeleton import JOINT_INDEX


@pytest.fixture(scope="package")
def posed_body():
    model = load_body("anny")
    full_pose = np.zeros((55, 3), np.float32)
    for name, rotation in {
        "pelvis": (0.1, 0.4, 0.0),
        "left_shoulder": (0.0, 0.2, -1.0),
        "right_elbow": (0.0, 1.2, 0.0),
        "left_knee": (0.9, 0.0, 0.0),
    }.items():
        full_pose[JOINT_INDEX[name]] = rotation
    betas = np.zeros(model.n_betas, np.float32)
    return model.pose(BodyPose(betas, full_pose, np.array([0.3, 1.4, -0.2], np.float32), 0.9))


@pytest.fixture(scope="package")
def character(posed_body):
    """The posed body itself as the mesh, coloured by place, 1.75 m high."""
    used, faces = np.unique(posed_body.faces[posed_body.outer_faces], return_inverse=True)
    vertices = posed_body.vertices[used]
    faces = faces.reshape(-1, 3).astype(np.int32)
    low, high = vertices.min(0), vertices.max(0)
    colors = ((vertices - low) / (high - low)).astype(np.float32) ** 2
    mesh = ColoredMesh(vertices, faces, colors, vertex_normals(vertices, faces))
    return scale_to_height(rig(mesh, posed_body), 1.75)[0]


@pytest.fixture(scope="package")
def textured(character):
    """The same with a texture: a chart a face, and two faces that share their chart."""
    count = len(character.mesh.faces)
    across = int(np.ceil(np.sqrt(count)))
    at = np.stack(np.divmod(np.arange(count), across), 1) / across
    corners = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]]) / across
    uv = (at[:, None] + corners).astype(np.float32)
    a, b = character.mesh.faces[:2]
    shared = [(i, j) for i in range(3) for j in range(3) if a[i] == b[j]]
    for i, j in shared:
        uv[1, j] = uv[0, i]
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return replace(character, uv=uv.reshape(-1, 2), texture=picture)

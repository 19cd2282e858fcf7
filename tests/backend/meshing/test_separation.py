import numpy as np
import pytest
import torch
import trimesh

from backend.body import load_body
from backend.body.body_volume import signed_distance_grid
from backend.body.pose import BodyPose
from backend.geometry.frames import FieldToWorld
from backend.geometry.mesh import Mesh
from backend.geometry.rasterizer import rasterize
from backend.meshing.clean import topology
from backend.meshing.mesh import extract_mesh
from backend.meshing.separation import LimbSeparator, body_parts, fill_colors
from backend.rigging.character import rig
from backend.settings import MeshingSettings
from shared_protocol.skeleton import JOINT_INDEX

TO_WORLD = FieldToWorld(scale=1.0, shift=(0.0, -0.1, 0.0))


@pytest.fixture(scope="module")
def model():
    return load_body("anny")


def posed(model, shoulder):
    full_pose = np.zeros((55, 3), np.float32)
    full_pose[JOINT_INDEX["left_shoulder"], 2] = -shoulder
    full_pose[JOINT_INDEX["right_shoulder"], 2] = shoulder
    betas = np.zeros(model.n_betas, np.float32)
    return model.pose(BodyPose(betas, full_pose, np.zeros(3, np.float32)))


@pytest.fixture(scope="module")
def arms_down(model):
    return posed(model, 1.2)


class Padded:
    """A body in a thick suit: one solid wherever its limbs come near each other."""

    def __init__(self, body, thickness):
        grid = signed_distance_grid(TO_WORLD.to_field(body.vertices), body.faces, 64)
        self.grid = torch.from_numpy(grid)[None, None] - thickness

    def sdf(self, points):
        at = points.view(1, -1, 1, 1, 3)
        found = torch.nn.functional.grid_sample(self.grid, at, align_corners=True)
        return found.view(-1)

    def color(self, points):
        return torch.full_like(points, 0.5)


@pytest.fixture(scope="module")
def glued(arms_down):
    field, settings = Padded(arms_down, 0.045), MeshingSettings(128, 15_000)
    return (
        extract_mesh(field, settings, TO_WORLD),
        extract_mesh(field, settings, TO_WORLD, body=arms_down),
    )


def web_area(mesh, body):
    """T-pose area of the triangles that grow more than threefold from the photo's pose to it."""
    character = rig(mesh, body)
    now = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).area_faces
    rest = trimesh.Trimesh(character.rest_vertices, mesh.faces, process=False).area_faces
    return rest[rest > 3 * now].sum()


def test_glued_sleeves_no_longer_make_webs(glued, arms_down):
    plain, cut = glued
    assert web_area(plain, arms_down) > 0.05
    assert web_area(cut, arms_down) < 0.25 * web_area(plain, arms_down)


def test_cutting_keeps_one_closed_piece_and_the_outline(glued):
    plain, cut = glued
    found = topology(cut.faces)
    assert found.closed_manifold
    assert found.components == 1
    seen = [rasterize(TO_WORLD.to_field(m.vertices), m.faces, 256).covered for m in (plain, cut)]
    assert (seen[0] & seen[1]).sum() / (seen[0] | seen[1]).sum() > 0.985
    # Both walls of each cut exist: the surface grew by them.
    area = [trimesh.Trimesh(m.vertices, m.faces, process=False).area for m in (plain, cut)]
    assert area[1] > 1.03 * area[0]


def test_walls_almost_touch(arms_down):
    field, half_width = Padded(arms_down, 0.045), 0.02
    separator = LimbSeparator.from_body(arms_down, TO_WORLD)
    elbow = arms_down.joints[JOINT_INDEX["left_elbow"]]
    # A line from the trunk outwards below the armpit, inside the padding all the way.
    x = np.linspace(0.05, float(elbow[0]), 200, dtype=np.float32)
    height = 0.5 * (elbow[1] + arms_down.joints[JOINT_INDEX["left_shoulder"], 1])
    line = np.stack([x, np.full_like(x, height), np.full_like(x, elbow[2])], 1)
    points = torch.from_numpy(TO_WORLD.to_field(line).astype(np.float32))
    assert (field.sdf(points)[:150] < 0).all()
    gap = separator.gap(points, half_width)
    inside = (gap > 0).numpy()
    width = np.ptp(points[:, 0].numpy()[inside])
    assert 1.2 * half_width < width < 4 * half_width
    assert (separator.carve(field.sdf, half_width)(points).numpy()[inside] > 0).all()
    walls = points[[np.flatnonzero(inside)[0] - 1, np.flatnonzero(inside)[-1] + 1]].numpy()
    closed = separator.close(Mesh(walls, np.array([[0, 1, 1]], np.int32)), half_width)
    left = np.linalg.norm(closed.vertices[1] - closed.vertices[0])
    assert left < 0.45 * np.linalg.norm(walls[1] - walls[0])


def test_a_t_pose_is_left_alone(model):
    body = posed(model, 0.0)
    separator = LimbSeparator.from_body(body, TO_WORLD)
    surface = torch.from_numpy(TO_WORLD.to_field(body.vertices))
    assert separator.gap(surface, 0.02).max() < 0
    mesh = Mesh(surface.numpy(), body.faces)
    assert separator.close(mesh, 0.02) is mesh


def test_carving_is_the_maximum_of_field_and_gap(arms_down):
    field = Padded(arms_down, 0.045)
    separator = LimbSeparator.from_body(arms_down, TO_WORLD)
    torch.manual_seed(0)
    points = torch.rand(20_000, 3) * torch.tensor([0.9, 0.6, 0.2]) - torch.tensor([0.45, 0.1, 0.1])
    expected = torch.maximum(field.sdf(points), separator.gap(points, 0.02))
    found = separator.carve(field.sdf, 0.02)(points)
    # Far outside, where the gap cannot matter, the field's own value may stand.
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert ((found > 0) & (field.sdf(points) < 0)).sum() > 20


def test_parts_follow_the_skeleton(model):
    part = body_parts(model.skin_weights)
    body = model.pose(BodyPose.t_pose(model.n_betas))
    hand = body.vertices[:, 0] > body.joints[JOINT_INDEX["left_elbow"], 0]
    assert (part[hand] == 1).all()
    knee = body.joints[JOINT_INDEX["right_knee"]]
    assert (part[(body.vertices[:, 1] < knee[1]) & (body.vertices[:, 0] < 0)] == 4).all()
    assert (part[body.vertices[:, 1] > body.joints[JOINT_INDEX["head"], 1]] == 0).all()


def test_unknown_colours_are_those_around():
    grid = trimesh.creation.icosphere(3)
    mesh = Mesh(grid.vertices, grid.faces.astype(np.int32))
    truth = np.repeat(0.5 + 0.4 * grid.vertices[:, :1], 3, 1)
    unknown = np.linalg.norm(grid.vertices - [0, 0, 1], axis=1) < 0.4
    broken = np.where(unknown[:, None], 0.0, truth)
    filled = fill_colors(mesh, broken, unknown)
    np.testing.assert_allclose(filled[unknown], truth[unknown], atol=0.03)
    np.testing.assert_array_equal(filled[~unknown], truth[~unknown])

import numpy as np
import pytest
import torch
import trimesh

from backend.geometry.cameras import pixel_centers
from backend.geometry.frames import FieldToWorld
from backend.geometry.mesh import Mesh
from backend.geometry.rasterizer import interpolate, rasterize
from backend.meshing.clean import topology
from backend.meshing.color_fit import FacePicture
from backend.meshing.colors import project_to_surface, query_colors, seen_from_front
from backend.meshing.mesh import extract_mesh, preview_mesh
from backend.meshing.refine import split_edges, unique_edges
from backend.settings import MeshingSettings

TO_WORLD = FieldToWorld(scale=0.9, shift=(0.1, 1.0, -0.2))


class Egg:
    """A shape twice as steep as a distance, painted with fine stripes on the front."""

    def sdf(self, points):
        return 2.0 * ((points * torch.tensor([1.0, 0.7, 1.3])).norm(dim=1) - 0.5)

    def color(self, points):
        stripe = 0.5 + 0.45 * torch.sin(60 * points[:, 0]) * (points[:, 2] > 0)
        return torch.stack([stripe, 1.2 * torch.ones_like(stripe), 0.5 * stripe], 1)


def egg_picture(resolution):
    xy = torch.as_tensor(pixel_centers(resolution), dtype=torch.float32)
    points = torch.cat([xy, torch.ones(len(xy), 1)], 1)
    rgb = Egg().color(points).clamp(0, 1).numpy().reshape(resolution, resolution, 3)
    radius = (xy * torch.tensor([1.0, 0.7])).norm(dim=1).numpy().reshape(resolution, resolution)
    return FacePicture(rgb, (radius < 0.46).astype(np.float32))


def test_a_field_becomes_a_closed_coloured_mesh_in_metres():
    picture = egg_picture(256)
    mesh = extract_mesh(Egg(), MeshingSettings(96, 12_000), TO_WORLD, front=picture)
    found = topology(mesh.faces)
    assert found.closed_manifold
    assert (found.components, found.handles) == (1, 0)
    assert 11_000 < len(mesh.faces) <= 12_000
    field_points = TO_WORLD.to_field(mesh.vertices)
    distance = Egg().sdf(torch.as_tensor(field_points)).abs() / 2.0
    assert distance.max() < 1e-3
    outward = (field_points * np.array([1, 0.49, 1.69])) / 0.5
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    assert (mesh.normals * outward).sum(1).min() > 0.9
    raster = rasterize(field_points, mesh.faces, 256)
    drawn = interpolate(raster, mesh.colors, mesh.faces)
    error = ((drawn - picture.rgb)[picture.weight > 0] ** 2).mean()
    assert -10 * np.log10(error) > 35
    assert mesh.colors.max() <= 1.0


def test_triangles_go_where_the_stripes_are():
    mesh = extract_mesh(Egg(), MeshingSettings(80, 8_000), FieldToWorld(1.0, (0.0, 0.0, 0.0)))
    front = mesh.vertices[mesh.faces].mean(1)[:, 2] > 0
    assert front.mean() > 0.6


def test_preview_is_light_and_in_metres():
    mesh = preview_mesh(Egg(), TO_WORLD, 48)
    assert topology(mesh.faces).closed_manifold
    assert 500 < len(mesh.faces) < 10_000
    middle = (mesh.vertices.max(0) + mesh.vertices.min(0)) / 2
    np.testing.assert_allclose(middle, TO_WORLD.shift, atol=1e-2)


def test_vertices_are_moved_onto_the_level_but_never_far():
    ball = trimesh.creation.icosphere(3, radius=0.52)
    mesh = Mesh(ball.vertices, ball.faces.astype(np.int32))

    class Ball:
        def sdf(self, points):
            return 1.7 * (points.norm(dim=1) - 0.5)

        def color(self, points):
            return points

    near = project_to_surface(Ball(), mesh, 0.05)
    np.testing.assert_allclose(np.linalg.norm(near.vertices, axis=1), 0.5, atol=1e-4)
    held = project_to_surface(Ball(), mesh, 0.005)
    np.testing.assert_allclose(np.linalg.norm(held.vertices, axis=1), 0.515, atol=1e-4)
    assert query_colors(Ball(), near.vertices).min() == 0.0


def test_front_is_what_the_photo_sees():
    ball = trimesh.creation.icosphere(3, radius=0.5)
    seen = seen_from_front(Mesh(ball.vertices, ball.faces.astype(np.int32)))
    assert seen[ball.vertices[:, 2] > 0.1].all()
    assert not seen[ball.vertices[:, 2] < -0.1].any()


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_splitting_edges_keeps_the_surface(share):
    ball = trimesh.creation.icosphere(2)
    mesh = Mesh(ball.vertices, ball.faces.astype(np.int32))
    edges, of_face = unique_edges(mesh.faces)
    ends = np.sort(np.stack([mesh.faces[:, [0, 1, 2]], mesh.faces[:, [1, 2, 0]]], -1), -1)
    np.testing.assert_array_equal(edges[of_face], ends)
    wanted = np.random.default_rng(0).uniform(size=len(edges)) < share
    split = split_edges(mesh, edges, of_face, wanted)
    shape = trimesh.Trimesh(split.vertices, split.faces, process=False)
    assert topology(split.faces).closed_manifold
    assert len(split.faces) == len(mesh.faces) + 2 * wanted.sum()
    assert shape.area == pytest.approx(ball.area)
    assert shape.volume == pytest.approx(ball.volume)

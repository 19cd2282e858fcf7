"""The growing mesh: what it shows, and that nothing an artist does to it stops the stream."""

import bpy
import numpy as np
import pytest
from scene_data import SceneData, body_axes


def grid(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    u, v = np.meshgrid(np.arange(n), np.arange(n))
    height = rng.normal(0, 0.1, u.shape)
    vertices = np.stack([u, v, height], -1).reshape(-1, 3).astype(np.float32) / n
    i = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate(
        [np.stack([i, i + 1, i + n], -1), np.stack([i + 1, i + n + 1, i + n], -1)]
    ).astype(np.int32)
    return vertices, faces, rng.integers(0, 256, vertices.shape, dtype=np.uint8)


@pytest.fixture
def live(data: SceneData):
    mesh = data.scene("live_mesh").LiveMesh("growing", bpy.context.scene.collection)
    yield mesh
    mesh.remove()


def shown(live) -> tuple[np.ndarray, np.ndarray]:
    mesh = live.object.data
    positions = np.array([vertex.co for vertex in mesh.vertices])
    faces = np.array([tuple(polygon.vertices) for polygon in mesh.polygons])
    return body_axes(positions), faces


def test_shows_what_it_gets(live) -> None:
    for n, topology in ((8, "a"), (8, "a"), (11, "b"), (5, "c")):
        vertices, faces, colors = grid(n, n)
        assert live.update(vertices, faces, colors, topology)
        positions, polygons = shown(live)
        np.testing.assert_allclose(positions, vertices, atol=1e-7)
        np.testing.assert_array_equal(polygons, faces)
        mesh = live.object.data
        assert not mesh.validate(verbose=True)
        assert len(mesh.edges) == len(
            {tuple(sorted(e)) for f in faces for e in zip(f, np.roll(f, 1), strict=True)}
        )
        assert len(mesh.color_attributes) == 1
        srgb = np.array([c.color_srgb[:3] for c in mesh.color_attributes.active_color.data])
        np.testing.assert_allclose(255 * srgb, colors, atol=0.6)
        assert all(polygon.use_smooth for polygon in mesh.polygons)


def test_same_topology_only_moves(live) -> None:
    vertices, faces, colors = grid(6)
    live.update(vertices, faces, colors, "a")
    # The faces of a topology that is there are not looked at.
    live.update(vertices + 1, faces[:0], colors, "a")
    positions, polygons = shown(live)
    np.testing.assert_allclose(positions, vertices + 1, atol=1e-6)
    np.testing.assert_array_equal(polygons, faces)


def test_material_shows_the_colours(live) -> None:
    live.update(*grid(4), "a")
    tree = live.object.data.materials[0].node_tree
    (link,) = [link for link in tree.links if link.to_socket.name == "Base Color"]
    assert link.from_node.layer_name == live.object.data.color_attributes.active_color.name


def test_survives_deleting_and_renaming(data: SceneData, live) -> None:
    live.update(*grid(4), "a")
    live.object.name = "mine"
    live.update(*grid(4), "a")
    assert live.object.name == "mine"
    bpy.data.objects.remove(live.object)
    assert live.object is None
    live.update(*grid(4), "a")
    assert live.object.name == "growing"
    # Deleted in the viewport: out of every collection.
    for collection in live.object.users_collection:
        collection.objects.unlink(live.object)
    assert live.object is None
    assert live.update(*grid(4), "a")
    assert live.object is not None
    assert len(data.scene("live_mesh").find_live(bpy.context.scene)) == 1


def test_its_mesh_emptied_by_an_undo_is_filled_again(live) -> None:
    vertices, faces, colors = grid(5)
    live.update(vertices, faces, colors, "a")
    live.object.data.clear_geometry()
    live.update(vertices, faces, colors, "a")
    np.testing.assert_array_equal(shown(live)[1], faces)


def test_a_mesh_in_edit_mode_is_left_alone(live) -> None:
    vertices, faces, colors = grid(5)
    live.update(vertices, faces, colors, "a")
    bpy.context.view_layer.objects.active = live.object
    bpy.ops.object.mode_set(mode="EDIT")
    assert not live.update(vertices + 1, faces, colors, "a")
    bpy.ops.object.mode_set(mode="OBJECT")
    assert live.update(vertices + 1, faces, colors, "a")
    np.testing.assert_allclose(shown(live)[0], vertices + 1, atol=1e-6)


def test_remove_leaves_nothing(data: SceneData) -> None:
    before = len(bpy.data.meshes), len(bpy.data.objects)
    live = data.scene("live_mesh").LiveMesh("growing")
    live.update(*grid(4), "a")
    live.remove()
    live.remove()
    assert (len(bpy.data.meshes), len(bpy.data.objects)) == before


def test_two_at_once(data: SceneData) -> None:
    make = data.scene("live_mesh").LiveMesh
    first, second = make("growing"), make("growing")
    first.update(*grid(4), "a")
    second.update(*grid(6), "a")
    assert len(first.object.data.vertices) == 16
    assert len(second.object.data.vertices) == 36
    first.remove()
    assert second.object is not None
    second.remove()

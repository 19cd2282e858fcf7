import numpy as np
import pytest
import trimesh

from backend.errors import HumanRefError
from backend.geometry.mesh import Mesh
from backend.meshing.clean import clean, largest_component, topology


def as_mesh(shape):
    return Mesh(shape.vertices.astype(np.float32), shape.faces.astype(np.int32))


def test_topology_of_known_shapes():
    ball = trimesh.creation.icosphere(2)
    ring = trimesh.creation.torus(1.0, 0.3)
    assert topology(ball.faces) == topology(ball.faces[::-1])
    assert (topology(ball.faces).handles, topology(ball.faces).components) == (0, 1)
    assert topology(ring.faces).handles == 1
    both = trimesh.util.concatenate([ball, ring.apply_translation([5, 0, 0])])
    assert (topology(both.faces).components, topology(both.faces).handles) == (2, 1)


def test_holes_flipped_and_crowded_edges_are_counted():
    ball = trimesh.creation.icosphere(1)
    assert topology(ball.faces[1:]).open_edges == 3
    flipped = ball.faces.copy()
    flipped[0] = flipped[0][::-1]
    assert topology(flipped).crowded_edges == 3
    fin = np.vstack([ball.faces, [[ball.faces[0, 0], ball.faces[0, 1], 41]]])
    assert topology(fin).crowded_edges >= 1


def test_floating_bits_and_cavities_go():
    body = trimesh.creation.icosphere(2)
    cavity = trimesh.creation.icosphere(4, radius=0.5)
    cavity.invert()
    crumb = trimesh.creation.icosphere(1, radius=0.1).apply_translation([3, 0, 0])
    kept = largest_component(as_mesh(trimesh.util.concatenate([crumb, cavity, body])))
    assert len(kept.faces) == len(body.faces)
    np.testing.assert_allclose(np.linalg.norm(kept.vertices, axis=1), 1.0, atol=1e-6)
    assert len(kept.vertices) == len(body.vertices)


def test_an_open_surface_is_refused():
    ball = trimesh.creation.icosphere(2)
    with pytest.raises(HumanRefError, match="3 open"):
        clean(Mesh(ball.vertices, ball.faces[1:]))

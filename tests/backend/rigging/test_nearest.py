import numpy as np
from trimesh.triangles import closest_point

from backend.rigging.nearest import nearest_of


def test_the_closest_point_is_that_of_trimesh_and_the_choice_the_cheapest() -> None:
    rng = np.random.default_rng(0)
    n, k, f, length = 400, 7, 60, 0.3
    triangles = rng.standard_normal((f, 3, 3))
    # Slivers and points too: corners that fall together, or on one line.
    triangles[0] = triangles[0, 0]
    triangles[1, 2] = triangles[1, 1]
    triangles[2, 2] = 0.5 * (triangles[2, 0] + triangles[2, 1])
    face_normals = rng.standard_normal((f, 3))
    face_normals /= np.linalg.norm(face_normals, axis=1, keepdims=True)
    points, normals = 1.5 * rng.standard_normal((2, n, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # Some points on a corner, on an edge and inside a triangle.
    points[0], points[1] = triangles[5, 1], 0.5 * (triangles[6, 0] + triangles[6, 2])
    points[2] = triangles[7].mean(0)
    candidates = np.stack([rng.permutation(f)[:k] for _ in range(n)])
    candidates[:3, 0] = 5, 6, 7
    chosen, barycentric = np.empty(n, np.int64), np.empty((n, 3))
    distance = nearest_of(
        points, normals, triangles, face_normals, candidates, length, chosen, barycentric
    )
    places = closest_point(triangles[candidates.ravel()], np.repeat(points, k, 0)).reshape(n, k, 3)
    squared = ((places - points[:, None]) ** 2).sum(2)
    turned = ((normals[:, None] - face_normals[candidates]) ** 2).sum(2)
    best = (squared + length**2 * turned).argmin(1)
    np.testing.assert_array_equal(chosen, candidates[np.arange(n), best])
    np.testing.assert_allclose(distance, np.sqrt(squared[np.arange(n), best]), atol=1e-9)
    np.testing.assert_allclose(
        np.einsum("nk,nkc->nc", barycentric, triangles[chosen]),
        places[np.arange(n), best],
        atol=1e-7,
    )
    np.testing.assert_allclose(barycentric.sum(1), 1.0, atol=1e-12)
    assert barycentric.min() >= 0.0

import numpy as np
from humanref_addon.scene.frames import BLENDER_FROM_BODY, blender_from_body, body_from_blender


def test_the_turn_is_what_the_house_rules_say() -> None:
    up, forward, left = np.eye(3)[[1, 2, 0]]
    np.testing.assert_array_equal(blender_from_body(up), [0, 0, 1])
    np.testing.assert_array_equal(blender_from_body(forward), [0, -1, 0])
    np.testing.assert_array_equal(blender_from_body(left), [1, 0, 0])


def test_matrix_function_and_inverse_agree() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    turned = blender_from_body(points)
    np.testing.assert_allclose(turned, points @ np.array(BLENDER_FROM_BODY, "f4").T, atol=1e-7)
    np.testing.assert_array_equal(body_from_blender(turned), points)
    assert turned.dtype == np.float32
    assert np.linalg.det(np.array(BLENDER_FROM_BODY)) == 1.0

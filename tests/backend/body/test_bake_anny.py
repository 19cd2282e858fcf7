"""The bake's own mathematics, without the anny package (the asset's tests judge its result)."""

import numpy as np

from backend.body.anny_rig import _align, _halfway, _shortest, _turn, joint_bones
from backend.body.bake_anny import principal_shapes, random_adults, reconstruction_error
from shared_protocol.skeleton import JOINT_NAMES


def test_principal_shapes_recover_a_linear_family_of_bodies():
    rng = np.random.default_rng(0)
    mean, joint_mean = rng.normal(size=(200, 3)), rng.normal(size=(55, 3))
    basis = rng.normal(size=(200, 3, 3)) * [3, 2, 1]
    joint_basis = rng.normal(size=(55, 3, 3))

    def family(count):
        z = rng.normal(size=(count, 3))
        return mean + np.einsum("vck,bk->bvc", basis, z), joint_mean + np.einsum(
            "jck,bk->bjc", joint_basis, z
        )

    vertices, joints = family(40)
    shapes = principal_shapes(vertices, joints, 3)
    # Unseen members of the family are met exactly (millimetres), two components fall short.
    assert max(reconstruction_error(shapes, *family(5))) < 1e-6
    assert min(reconstruction_error(principal_shapes(vertices, joints, 2), *family(5))) > 1
    # Coordinates have unit variance, in falling order of importance, positive = taller.
    flat = shapes.directions.reshape(-1, 3)
    betas = np.linalg.lstsq(flat, (vertices - shapes.mean).reshape(40, -1).T)[0].T
    np.testing.assert_allclose((betas**2).mean(0), 1)
    size = np.linalg.norm(flat, axis=0)
    assert (np.diff(size) < 0).all()
    top, bottom = shapes.mean[:, 1].argmax(), shapes.mean[:, 1].argmin()
    assert (shapes.directions[top, 1] > shapes.directions[bottom, 1]).all()


def test_random_adults_are_adults_and_repeatable():
    names = ("age", "height", "african", "asian", "caucasian")
    first = random_adults(names, 50, np.random.default_rng(3))
    again = random_adults(names, 50, np.random.default_rng(3))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert values.min() >= 0
        assert values.max() <= 1
    assert first["age"].min() >= 0.5
    total = first["african"] + first["asian"] + first["caucasian"]
    np.testing.assert_allclose(total, 1)


def test_rotations_of_the_rig_do_what_they_say():
    rng = np.random.default_rng(1)
    a, b, n, m = rng.normal(size=(4, 20, 3))

    def unit(v):
        return v / np.linalg.norm(v, axis=-1, keepdims=True)

    turned = (_shortest(a, b) @ unit(a)[..., None])[..., 0]
    np.testing.assert_allclose(turned, unit(b), atol=1e-12)
    aligned = _align(a, n, b, m)
    np.testing.assert_allclose((aligned @ unit(a)[..., None])[..., 0], unit(b), atol=1e-12)
    # The normals end in one half plane about the common direction.
    side = np.cross(unit(b), (aligned @ n[..., None])[..., 0])
    np.testing.assert_allclose(unit(side), unit(np.cross(b, m)), atol=1e-9)
    quarter, half = _turn(np.array([[0, 0, 0.5]])), _turn(np.array([[0, 0, 1.0]]))
    np.testing.assert_allclose(_halfway(np.eye(3)[None], half), quarter, atol=1e-12)


def test_every_joint_has_its_own_bone_and_sides_do_not_mix():
    bones = joint_bones()
    assert set(bones) == set(JOINT_NAMES)
    assert len(set(bones.values())) == len(bones)
    for joint, bone in bones.items():
        for side, letter in (("left", ".L"), ("right", ".R")):
            assert joint.startswith(side) == bone.endswith(letter)

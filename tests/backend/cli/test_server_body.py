"""A body from a server, posed here, is the body that the model itself poses."""

import numpy as np

from backend.body import load_body
from backend.body.pose import BodyPose
from backend.cli.server_body import posed_template
from backend.service.documents import body_template, wire_pose


def test_a_posed_template_is_the_posed_body() -> None:
    model = load_body("anny")
    random = np.random.default_rng(3)
    pose = BodyPose(
        betas=random.normal(size=model.n_betas).astype(np.float32),
        full_pose=(0.4 * random.normal(size=(55, 3))).astype(np.float32),
        transl=np.array([0.1, 0.9, -0.2], np.float32),
        scale=1.1,
        model=model.name,
    )
    expected = model.pose(pose)
    posed = posed_template(body_template(model), wire_pose(pose))
    np.testing.assert_allclose(posed.joints, expected.joints, atol=1e-5)
    # Only the lightest weights of a vertex are left out.
    apart = np.linalg.norm(posed.vertices - expected.vertices, axis=1)
    assert apart.max() < 1e-3
    np.testing.assert_array_equal(posed.faces, expected.faces)

"""A body that the tests of this room share."""

from __future__ import annotations

import numpy as np
import pytest

from backend.body import load_body
from backend.body.model import PosedBody
from backend.body.pose import BodyPose
from shared_protocol.skeleton import JOINT_INDEX


@pytest.fixture(scope="session")
def body() -> PosedBody:
    """The mean body, its arms hanging at a slant."""
    model = load_body("anny")
    full_pose = np.zeros((55, 3), np.float32)
    full_pose[JOINT_INDEX["left_shoulder"], 2] = -0.8
    full_pose[JOINT_INDEX["right_shoulder"], 2] = 0.8
    betas = np.zeros(model.n_betas, np.float32)
    return model.pose(BodyPose(betas, full_pose, np.zeros(3, np.float32)))

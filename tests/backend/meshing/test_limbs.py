"""Which limb a point belongs to, on a body whose arms hang down."""

from __future__ import annotations

import numpy as np
import pytest

from backend.body.model import PosedBody
from backend.geometry.frames import FieldToWorld
from backend.meshing.limbs import NO_PART, SHAPED, LimbMaps, Limbs
from shared_protocol.skeleton import JOINT_INDEX

CUBE = FieldToWorld(scale=1.0, shift=(0.0, -0.1, 0.0))


def joints(body: PosedBody, *names: str) -> np.ndarray:
    return body.joints[[JOINT_INDEX[name] for name in names]]


def test_left_and_right_are_one_part(body: PosedBody) -> None:
    arms = Limbs.near(body, joints(body, "left_elbow", "right_elbow"))
    legs = Limbs.near(body, joints(body, "left_knee", "right_knee"))
    trunk = Limbs.near(body, joints(body, "spine2"))
    assert arms.part[0] == arms.part[1]
    assert legs.part[0] == legs.part[1]
    assert len({int(arms.part[0]), int(legs.part[0]), int(trunk.part[0]), NO_PART}) == 4
    # As far out, as high up, but for the nearest vertex.
    assert arms.along[0] == pytest.approx(arms.along[1], abs=0.03)
    assert legs.along[0] == pytest.approx(legs.along[1], abs=0.03)


def test_heads_and_hands_are_set_apart_and_feet_from_legs(body: PosedBody) -> None:
    shaped = Limbs.near(body, joints(body, "jaw", "left_wrist", "right_middle1"))
    assert (shaped.part == SHAPED).all()
    feet = Limbs.near(body, joints(body, "left_foot", "right_foot", "left_knee"))
    assert feet.part[0] == feet.part[1] != feet.part[2]


def test_along_an_arm_is_outwards_whatever_its_pose(body: PosedBody) -> None:
    shoulder, elbow, wrist = joints(body, "left_shoulder", "left_elbow", "left_wrist")
    line = [shoulder + t * (elbow - shoulder) for t in (0.4, 0.7)]
    line += [elbow + t * (wrist - elbow) for t in (0.2, 0.6)]
    along = Limbs.near(body, np.stack(line)).along
    assert (np.diff(along) > 0.03).all()


def test_cloth_around_the_body_takes_what_is_nearest(body: PosedBody) -> None:
    side = 128
    maps = LimbMaps.of_front(body, CUBE, side)
    knee, ankle = joints(body, "left_knee", "left_ankle")
    row = int((1.0 - CUBE.to_field(knee[None])[0, 1]) / 2.0 * side)
    column = int((CUBE.to_field(knee[None])[0, 0] + 1.0) / 2.0 * side)
    # Beside the knee nothing of the body is, and yet it is a leg's.
    leg = Limbs.near(body, knee[None]).part[0]
    assert maps.part[row, column] == leg
    assert maps.part[row, column + 9] == leg
    lower = int((1.0 - CUBE.to_field(ankle[None])[0, 1]) / 2.0 * side) - 6
    step = maps.along[row, column] - maps.along[lower, column]
    assert step == pytest.approx(lower - row, abs=4.0)

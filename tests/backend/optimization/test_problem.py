"""The cube around a person, limbs that something hides, and what a checkpoint depends on."""

from dataclasses import replace

import numpy as np
import pytest

from backend.body import load_body
from backend.body.model import PosedBody
from backend.body.pose import BodyPose
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.optimization.initial_shape import InitialShape
from backend.optimization.problem import fingerprint, frame_person, hidden_limbs
from backend.optimization.targets import CropMaps
from backend.perception.subject import Landmarks, NormalMaps, Photo, Subject
from backend.settings import preset_settings
from shared_protocol.skeleton import JOINT_INDEX


@pytest.fixture(scope="module")
def body() -> PosedBody:
    model = load_body("anny")
    pose = replace(BodyPose.t_pose(model.n_betas), transl=np.array([0, 1, 0], np.float32))
    return model.pose(pose)


def test_the_cube_holds_body_and_silhouette_with_a_margin(body: PosedBody) -> None:
    camera = PhotoCamera(300.0, 400.0, 700.0)
    mask = np.zeros((800, 800), np.float32)
    mask[100:780, 380:420] = 1
    crop, to_world = frame_person(mask, body, camera)
    assert np.abs(to_world.to_field(body.vertices)).max() < 0.95
    corners = crop.to_field(np.array([[380.0, 100.0], [420.0, 780.0]]))
    assert np.abs(corners).max() < 0.95
    # Field x, y seen through the crop and through the world camera are the same pixel.
    point = np.array([[0.3, -0.4, 0.2]])
    seen = camera.project(to_world.to_world(point))
    np.testing.assert_allclose(seen, crop.to_photo(point[:, :2]), atol=1e-6)


def test_only_unseen_limbs_are_hidden(body: PosedBody) -> None:
    camera = PhotoCamera(300.0, 400.0, 700.0)
    _, to_world = frame_person(np.ones((800, 800), np.float32), body, camera)
    vertices = to_world.to_field(body.vertices).astype(np.float32)
    arm = ("left_elbow", "left_wrist")
    hidden = hidden_limbs(vertices, body, arm, 128)

    def pixel(joint: str) -> tuple[int, int]:
        x, y, _ = to_world.to_field(body.joints[JOINT_INDEX[joint]])
        return int((1 - y) / 2 * 128), int((x + 1) / 2 * 128)

    assert hidden[pixel("left_wrist")]
    assert not hidden[pixel("right_wrist")]
    assert not hidden[pixel("pelvis")]
    assert not hidden_limbs(vertices, body, (), 128).any()


def test_a_checkpoint_depends_on_everything_the_fit_sees(body: PosedBody) -> None:
    rng = np.random.default_rng(0)
    square = rng.random((8, 8)).astype(np.float32)
    vectors = rng.random((8, 8, 3)).astype(np.float32)
    flags = square > 0.5
    landmarks = Landmarks(np.zeros((33, 2)), np.zeros((33, 3)), np.ones(33))
    subject = Subject(
        Photo(vectors, "a", "digest"), square, np.zeros((8, 8), np.uint8), landmarks, ""
    )
    normals = NormalMaps(vectors, vectors, square, square, "test")
    maps = CropMaps(vectors, square, flags, flags, flags)
    start = InitialShape(np.zeros((4, 4, 4)), square, square, square)
    crop, settings = CropFrame(1.0, 2.0, 3.0), preset_settings("draft")
    base = (subject, body, normals, maps, start, crop, settings)
    changed = [
        (0, replace(subject, photo=replace(subject.photo, digest="other"))),
        (1, replace(body, pose=replace(body.pose, transl=body.pose.transl + 1))),
        (2, replace(normals, front=-vectors)),
        (2, replace(normals, back_weight=square * 0)),
        (3, replace(maps, mask=square * 0)),
        (3, replace(maps, face=~flags)),
        (4, replace(start, sdf=np.ones((4, 4, 4)))),
        (5, CropFrame(1.0, 2.0, 4.0)),
        (6, replace(settings, seed=1)),
        (6, replace(settings, working_resolution=256)),
    ]
    seen = {fingerprint(*base)}
    assert fingerprint(*base) in seen
    for place, value in changed:
        arguments = list(base)
        arguments[place] = value
        seen.add(fingerprint(*arguments))
    assert len(seen) == 1 + len(changed)
    # Where it runs does not matter, nor does the mesh made afterwards.
    elsewhere = replace(settings, device="cpu", meshing=replace(settings.meshing, faces=5000))
    assert fingerprint(*base[:-1], elsewhere) in seen

import json
from dataclasses import replace

import numpy as np
import pytest
from fitting_subjects import pose_of

from backend.body.anny_body import AnnyBody
from backend.errors import HumanRefError
from backend.fitting.pose_file import make_pose_file, read_pose, write_pose
from backend.fitting.pose_schema import PoseFile
from backend.fitting.report import FitReport
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Photo
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES

MINIMAL = {
    "format": "humanref-pose",
    "version": 1,
    "global_orient": [0, 0.2, 0],
    "body_pose": [0.0] * 63,
    "camera": {"pixels_per_metre": 200, "center_u": 100.5, "center_v": 300},
}


@pytest.fixture(scope="module")
def model():
    return AnnyBody()


@pytest.fixture(scope="module")
def photo():
    return Photo(np.zeros((64, 48, 3), np.float32), "photo.png", "ab" * 32)


@pytest.fixture(scope="module")
def complete(model, photo):
    pose = pose_of(model, np.linspace(-1, 1, model.n_betas), left_knee=(0.5, 0, 0))
    pose = replace(pose, transl=np.array([0.01, 0.9, -0.02], np.float32), scale=0.97)
    report = FitReport(3.25, 0.7, 0.91, ("left_wrist",), 1.5, ("One sentence.",))
    camera = PhotoCamera(31.5, 24.25, 60.0)
    return make_pose_file(pose, camera, model, photo, report)


def put(tmp_path, content):
    path = tmp_path / "pose.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def code_of(path, model=None, photo=None):
    with pytest.raises(HumanRefError) as error:
        read_pose(path, model, photo)
    assert path.name in error.value.message or error.value.code == "pose_other_photo"
    return error.value.code


def test_what_was_written_is_read(tmp_path, complete, model, photo):
    path = tmp_path / "new" / "pose.json"
    write_pose(path, complete)
    back = read_pose(path, model, photo)
    np.testing.assert_allclose(back.pose.full_pose, complete.pose.full_pose, atol=1e-6)
    np.testing.assert_allclose(back.pose.betas, complete.pose.betas, atol=1e-6)
    np.testing.assert_allclose(back.joints, complete.joints, atol=1e-5)
    assert back.camera == complete.camera
    assert back.photo == complete.photo
    assert back.fit == complete.fit
    assert [p.name for p in path.parent.iterdir()] == ["pose.json"]


def test_a_byte_order_mark_is_no_obstacle(tmp_path, model):
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(MINIMAL), encoding="utf-8-sig")
    assert read_pose(path, model).camera == PhotoCamera(200.0, 100.5, 300.0)


def test_joints_are_named_in_the_world_frame(tmp_path, complete, model):
    path = tmp_path / "pose.json"
    write_pose(path, complete)
    joints = json.loads(path.read_text())["joints"]
    assert tuple(joints) == JOINT_NAMES
    posed = model.pose(complete.pose)
    knee = posed.joints[JOINT_INDEX["left_knee"]]
    np.testing.assert_allclose(joints["left_knee"], knee, atol=1e-6)


def test_a_minimal_file_is_completed(tmp_path, model, photo):
    file = read_pose(put(tmp_path, MINIMAL), model, photo)
    assert file.pose.scale == 1.0
    assert file.camera == PhotoCamera(200.0, 100.5, 300.0)
    np.testing.assert_allclose(file.joints, model.pose(file.pose).joints)
    assert read_pose(put(tmp_path, MINIMAL)).joints is None


def test_parts_may_be_flat_or_nested(tmp_path):
    angles = np.random.default_rng(0).normal(size=(21, 3)).round(3)
    flat = read_pose(put(tmp_path, {**MINIMAL, "body_pose": angles.ravel().tolist()}))
    nested = read_pose(put(tmp_path, {**MINIMAL, "body_pose": angles.tolist()}))
    np.testing.assert_array_equal(flat.pose.full_pose, nested.pose.full_pose)
    np.testing.assert_allclose(flat.pose.part("body_pose"), angles, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"format": "other"}, "pose_format"),
        ({"version": 2}, "pose_version"),
        ({"version": True}, "pose_version"),
        ({"body_pose": [0.0] * 62}, "pose_shape"),
        ({"body_pose": "straight"}, "pose_shape"),
        ({"global_orient": [0, None, 0]}, "pose_shape"),
        ({"global_orient": None}, "pose_shape"),
        ({"betas": [0.0] * 500}, "pose_shape"),
        ({"betas": 1}, "pose_shape"),
        ({"transl": [0, 1]}, "pose_shape"),
        ({"scale": 0}, "pose_shape"),
        ({"scale": "1"}, "pose_shape"),
        ({"model": 3}, "pose_shape"),
        ({"scale": 10**400}, "pose_not_finite"),
        ({"transl": [0, 1e300, 0]}, "pose_not_finite"),
        ({"camera": {"pixels_per_metre": 1, "center_u": 0}}, "pose_shape"),
        ({"camera": {**MINIMAL["camera"], "pixels_per_metre": -1}}, "pose_shape"),
        ({"camera": {**MINIMAL["camera"], "focal": 1}}, "pose_unknown_key"),
        ({"camera": []}, "pose_shape"),
        ({"joints": {"pelvis": [0, 0, 0]}}, "pose_shape"),
        ({"photo": {"width": 1.5, "height": 2}}, "pose_shape"),
        ({"photo": {"width": 0, "height": 2}}, "pose_shape"),
        ({"fit": {"seconds": 1}}, "pose_shape"),
        ({"left_hnd_pose": [0.0] * 45}, "pose_unknown_key"),
    ],
)
def test_every_inconsistency_has_its_error(tmp_path, change, code):
    assert code_of(put(tmp_path, {**MINIMAL, **change})) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "pose_unreadable"),
        ("{not json", "pose_unreadable"),
        ("[" * 100_000, "pose_unreadable"),
        ("[1, 2]", "pose_format"),
        (json.dumps(MINIMAL).replace("0.2", "NaN"), "pose_not_finite"),
        (json.dumps(MINIMAL).replace("0.2", "1e999"), "pose_not_finite"),
        (json.dumps({k: v for k, v in MINIMAL.items() if k != "body_pose"}), "pose_shape"),
        (" " * 5_000_000, "pose_unreadable"),
    ],
)
def test_broken_text(tmp_path, text, code):
    assert code_of(put(tmp_path, text)) == code


def test_missing_and_binary_files(tmp_path):
    assert code_of(tmp_path / "none.json") == "pose_unreadable"
    assert code_of(tmp_path) == "pose_unreadable"
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00\x01")
    assert code_of(tmp_path / "b.json") == "pose_unreadable"


def test_joints_that_do_not_match_the_parameters(tmp_path, complete, model):
    moved = complete.joints.copy()
    moved[JOINT_INDEX["left_elbow"], 0] += 0.05
    path = tmp_path / "pose.json"
    write_pose(path, replace(complete, joints=moved))
    with pytest.raises(HumanRefError) as error:
        read_pose(path, model)
    assert error.value.code == "pose_joints_mismatch"
    assert "left_elbow" in error.value.message
    assert "5.0 cm" in error.value.message


def test_another_photo_or_body(tmp_path, complete, model):
    path = tmp_path / "pose.json"
    write_pose(path, complete)
    other = Photo(np.zeros((65, 48, 3), np.float32), "other.png", "cd" * 32)
    assert code_of(path, model, other) == "pose_other_photo"
    write_pose(path, replace(complete, pose=replace(complete.pose, model="smplx"), joints=None))
    with pytest.raises(HumanRefError) as error:
        read_pose(path, model)
    assert error.value.code == "pose_other_model"


def test_parameters_of_other_programs(tmp_path, model):
    path = tmp_path / "smplx.npz"
    body_pose = np.zeros((1, 63), np.float32)
    body_pose[0, 3 * (JOINT_INDEX["left_knee"] - 1)] = 0.7
    np.savez(path, betas=np.ones((1, 10)), body_pose=body_pose, global_orient=np.zeros((1, 3)))
    file = read_pose(path, model)
    assert file.camera is None
    assert file.pose.model == model.name
    assert file.pose.full_pose[JOINT_INDEX["left_knee"], 0] == pytest.approx(0.7)
    assert not file.pose.betas.any()
    assert len(file.notes) == 1
    as_json = put(tmp_path, {"body_pose": body_pose.tolist(), "global_orient": [0, 0, 0]})
    again = read_pose(as_json, model)
    np.testing.assert_array_equal(again.pose.full_pose, file.pose.full_pose)


def test_an_unwritable_place(tmp_path, complete):
    (tmp_path / "file").write_text("")
    with pytest.raises(HumanRefError) as error:
        write_pose(tmp_path / "file" / "pose.json", complete)
    assert error.value.code == "write_failed"
    folder = tmp_path / "folder.json"
    folder.mkdir()
    with pytest.raises(HumanRefError):
        write_pose(folder, complete)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path, complete, monkeypatch):
    path = tmp_path / "pose.json"
    write_pose(path, complete)
    before = path.read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backend.files.os.replace", full)
    with pytest.raises(HumanRefError) as error:
        write_pose(path, PoseFile(complete.pose))
    assert error.value.code == "disk_full"
    assert error.value.retryable
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["pose.json"]

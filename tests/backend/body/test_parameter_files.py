"""Parameter files of other programs: what is read, and how each inconsistency is told."""

import json
import pickle

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.body.parameter_files import read_parameter_file
from backend.errors import HumanRefError

_SIZES = {
    "global_orient": 3,
    "body_pose": 63,
    "jaw_pose": 3,
    "leye_pose": 3,
    "reye_pose": 3,
    "left_hand_pose": 45,
    "right_hand_pose": 45,
}


def _parameters():
    rng = np.random.default_rng(0)
    parameters = {k: rng.normal(0, 0.3, (1, n)).astype(np.float32) for k, n in _SIZES.items()}
    parameters["betas"] = rng.normal(size=(1, 10)).astype(np.float32)
    parameters["transl"] = np.array([[0.1, 0.2, 2.5]], np.float32)
    return parameters


def _save(path, parameters):
    if path.suffix == ".npz":
        np.savez(path, **parameters)
    elif path.suffix == ".json":
        lists = {k: np.asarray(v).tolist() for k, v in parameters.items()}
        path.write_text(json.dumps(lists), encoding="utf-8")
    else:
        path.write_bytes(pickle.dumps(parameters))
    return path


@pytest.mark.parametrize("suffix", [".npz", ".pkl", ".json"])
def test_every_kind_of_file_gives_the_same_pose(tmp_path, suffix):
    parameters = _parameters()
    pose = read_parameter_file(_save(tmp_path / f"p{suffix}", parameters))
    expected = np.concatenate([parameters[k].ravel() for k in _SIZES]).reshape(55, 3)
    np.testing.assert_allclose(pose.full_pose, expected, atol=1e-7)
    np.testing.assert_allclose(pose.betas, parameters["betas"][0], atol=1e-7)
    np.testing.assert_allclose(pose.transl, [0.1, 0.2, 2.5], atol=1e-7)
    assert pose.model == "smplx"
    assert pose.scale == 1.0


def test_rotation_matrices_and_batchless_parts_are_read(tmp_path):
    parameters = _parameters()
    expected = parameters["body_pose"].reshape(21, 3)
    parameters["body_pose"] = Rotation.from_rotvec(expected).as_matrix()[None]
    parameters["global_orient"] = Rotation.from_rotvec([0.0, 3.0, 0.0]).as_matrix()[None, None]
    parameters["jaw_pose"] = parameters["jaw_pose"][0]
    pose = read_parameter_file(_save(tmp_path / "pixie.pkl", parameters))
    np.testing.assert_allclose(pose.part("body_pose"), expected, atol=1e-5)
    np.testing.assert_allclose(pose.part("global_orient"), [[0, 3, 0]], atol=1e-5)
    np.testing.assert_allclose(pose.part("jaw_pose")[0], parameters["jaw_pose"], atol=1e-7)


def test_nested_files_other_names_and_missing_parts(tmp_path):
    body = np.full((1, 21, 3), 0.1)
    path = tmp_path / "out.pkl"
    path.write_bytes(pickle.dumps([{"params": {"smplx_body_pose": body, "shape": np.ones(5)}}]))
    pose = read_parameter_file(path)
    np.testing.assert_allclose(pose.part("body_pose"), body[0], atol=1e-7)
    assert not pose.part("left_hand_pose").any()
    np.testing.assert_array_equal(pose.betas, np.ones(5))
    whole = read_parameter_file(_save(tmp_path / "w.npz", {"full_pose": np.arange(165.0)[None]}))
    np.testing.assert_array_equal(whole.full_pose, np.arange(165.0).reshape(55, 3))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"body_pose": None}, "no body_pose"),
        ({"body_pose": np.zeros((1, 32))}, "VPoser"),
        ({"body_pose": np.zeros((1, 69))}, "63"),
        ({"body_pose": np.zeros((2, 63))}, "several"),
        ({"left_hand_pose": np.zeros((1, 6))}, "PCA"),
        ({"right_hand_pose": np.zeros((1, 12))}, "PCA"),
        ({"betas": np.full((1, 10), np.nan)}, "finite"),
        ({"betas": np.zeros((3, 10))}, "several"),
        ({"betas": np.zeros((1, 400))}, "400"),
        ({"transl": np.zeros(2)}, "transl"),
        ({"jaw_pose": np.array([["a", "b", "c"]])}, "numbers"),
        ({"body_pose": np.zeros((21, 3, 3))}, "not rotations"),
    ],
)
def test_each_inconsistency_is_one_clear_error(tmp_path, change, word):
    parameters = {k: v for k, v in {**_parameters(), **change}.items() if v is not None}
    for suffix in (".npz", ".pkl"):
        with pytest.raises(HumanRefError, match=word) as raised:
            read_parameter_file(_save(tmp_path / f"p{suffix}", parameters))
        assert raised.value.code == "parameters_inconsistent"


def test_unreadable_files(tmp_path):
    for name, content in (
        ("a.npz", b"PK\x03\x04 broken"),
        ("b.json", b"{"),
        ("c.pkl", b"\x80\x04"),
        ("d.txt", b""),
        ("e.json", b"\xff\xfe\xfa"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(HumanRefError) as raised:
            read_parameter_file(path)
        assert raised.value.code == "parameters_unreadable"
    damaged = tmp_path / "g.npz"
    np.savez_compressed(damaged, body_pose=np.random.default_rng(0).random(63))
    whole = bytearray(damaged.read_bytes())
    # The packed numbers, and the way they are packed as the archive's directory says.
    for place in (150, whole.index(b"PK\x01\x02") + 10):
        torn = whole.copy()
        torn[place : place + 2] = b"\x5a\xff"
        damaged.write_bytes(torn)
        with pytest.raises(HumanRefError) as raised:
            read_parameter_file(damaged)
        assert raised.value.code == "parameters_unreadable"
    with pytest.raises(HumanRefError) as raised:
        read_parameter_file(tmp_path / "absent.npz")
    assert raised.value.code == "parameters_unreadable"
    for content in (b"[]", b"3", b"[1]", b"[{}, {}]"):
        (tmp_path / "f.json").write_bytes(content)
        with pytest.raises(HumanRefError) as raised:
            read_parameter_file(tmp_path / "f.json")
        assert raised.value.code == "parameters_inconsistent"

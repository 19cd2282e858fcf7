"""SmplxBody against the smplx package itself, on a small made-up file of SMPL-X's shape."""

import sys

import numpy as np
import pytest
import torch

from backend.body import load_body
from backend.body.body_volume import signed_distance_grid
from backend.body.pose import BodyPose
from backend.body.smplx_body import SmplxBody, find_smplx_file
from backend.errors import HumanRefError
from shared_protocol.skeleton import PARENTS

# smplx picks a few dozen landmark vertices by fixed numbers, the largest of which is this.
_N = 10475


def _model_arrays(columns=20):
    """A lumpy open tube with random shape, pose and skinning bases, in the official layout."""
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 25, endpoint=False)
    rows = _N // 25
    height = np.repeat(np.linspace(-0.9, 0.9, rows), 25)
    around = np.tile(angle, rows)
    ring = np.stack([0.2 * np.cos(around), height, 0.2 * np.sin(around)], 1)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(25), indexing="ij")
    a, b = (i * 25 + j).ravel(), (i * 25 + (j + 1) % 25).ravel()
    faces = np.concatenate([np.stack([a, a + 25, b], 1), np.stack([b, a + 25, b + 25], 1)])
    weights = rng.random((_N, 55)) ** 8
    regressor = rng.random((55, _N)) ** 20
    parents = np.array(PARENTS, np.int64)
    parents[0] = 2**32 - 1
    return {
        "v_template": ring,
        "f": faces.astype(np.uint32),
        "vt": rng.random((_N, 2)),
        "ft": faces.astype(np.uint32),
        "shapedirs": rng.normal(0, 0.01, (_N, 3, columns)),
        "posedirs": rng.normal(0, 0.001, (_N, 3, 486)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(55)]),
        "hands_meanl": rng.normal(0, 0.1, 45),
        "hands_meanr": rng.normal(0, 0.1, 45),
        "hands_componentsl": np.eye(45),
        "hands_componentsr": np.eye(45),
        "lmk_faces_idx": np.arange(51),
        "lmk_bary_coords": np.full((51, 3), 1 / 3),
        "dynamic_lmk_faces_idx": np.zeros((79, 17), np.int64),
        "dynamic_lmk_bary_coords": np.full((79, 17, 3), 1 / 3),
        # The official files hold a pickled dictionary too: it must never be loaded.
        "joint2num": np.array({"Pelvis": 0}, dtype=object),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    np.savez(folder / "SMPLX_NEUTRAL.npz", **_model_arrays())
    return folder


def test_equals_the_smplx_package(folder):
    import smplx

    rng = np.random.default_rng(1)
    pose = BodyPose(
        rng.normal(size=10).astype(np.float32),
        rng.normal(0, 0.4, (55, 3)).astype(np.float32),
        np.array([0.3, -0.2, 1], np.float32),
        model="smplx",
    )
    reference = smplx.SMPLX(
        str(folder / "SMPLX_NEUTRAL.npz"), use_pca=False, flat_hand_mean=True, num_betas=10
    )
    parts = {
        name: torch.from_numpy(pose.part(name).reshape(1, -1))
        for name in (
            "global_orient",
            "body_pose",
            "jaw_pose",
            "leye_pose",
            "reye_pose",
            "left_hand_pose",
            "right_hand_pose",
        )
    }
    with torch.no_grad():
        expected = reference(
            betas=torch.from_numpy(pose.betas)[None],
            transl=torch.from_numpy(pose.transl)[None],
            **parts,
        )
    body = load_body("smplx", folder)
    assert body.n_betas == 10
    ours = body.pose(pose)
    np.testing.assert_allclose(ours.vertices, expected.vertices[0], atol=2e-5)
    np.testing.assert_allclose(ours.joints, expected.joints[0, :55], atol=2e-5)


def test_behaves_like_every_body_model(folder):
    body = SmplxBody(folder)
    betas = torch.zeros(3, requires_grad=True)
    full_pose = torch.zeros(55, 3, requires_grad=True)
    transl, scale = torch.zeros(3, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    out = body(betas, full_pose, transl, scale)
    out.vertices.square().sum().backward()
    for argument in (betas, full_pose, transl, scale):
        assert argument.grad.isfinite().all()
        assert argument.grad.abs().max() > 0
    rest_vertices, rest_joints = body.rest(betas)
    torch.testing.assert_close(out.vertices, rest_vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(out.joints, rest_joints, atol=1e-6, rtol=0)
    doubled = body(betas, full_pose, torch.ones(3), 2.0)
    torch.testing.assert_close(doubled.vertices, 2 * rest_vertices + 1, atol=1e-5, rtol=0)
    assert set(np.unique(body.regions)) <= {1, 2, 3, 4}
    assert len(body.outer_faces) == len(body.faces) == len(body.faces_uv)


def test_big_files_keep_their_300_shape_columns(tmp_path):
    np.savez(tmp_path / "SMPLX_MALE.npz", **_model_arrays(columns=400))
    assert load_body("smplx", tmp_path, "male").n_betas == 300


def test_an_open_surface_still_gets_a_volume(folder):
    posed = SmplxBody(folder).pose(BodyPose.t_pose(10, "smplx"))
    grid = signed_distance_grid(posed.vertices, posed.faces, 48)
    assert grid[24, 24, 24] == pytest.approx(-0.2, abs=0.05)
    assert grid[24, 0, 24] > 0


def test_a_missing_file_says_what_to_get_and_where_to_put_it(tmp_path, monkeypatch):
    with pytest.raises(HumanRefError) as raised:
        load_body("smplx", tmp_path, "female")
    assert raised.value.code == "smplx_missing"
    assert "SMPLX_FEMALE.npz" in raised.value.message
    assert "smpl-x.is.tue.mpg.de" in raised.value.hint
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(HumanRefError, match="SMPLX_NEUTRAL"):
        find_smplx_file(None)
    place = tmp_path / ".humanref" / "smplx"
    place.mkdir(parents=True)
    (place / "SMPLX_NEUTRAL.npz").touch()
    assert find_smplx_file(None) == place / "SMPLX_NEUTRAL.npz"


def test_a_missing_package_says_how_to_install_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx.lbs", None)
    with pytest.raises(HumanRefError) as raised:
        SmplxBody(folder)
    assert raised.value.code == "smplx_package_missing"
    assert 'pip install "humanref[smplx]"' in raised.value.hint


def test_other_files_are_refused(tmp_path):
    arrays = _model_arrays()
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 cut off")
    np.savez(tmp_path / "b.npz", **{k: v for k, v in arrays.items() if k != "weights"})
    np.savez(tmp_path / "c.npz", **{**arrays, "weights": arrays["weights"][:, :52]})
    tree = arrays["kintree_table"].copy()
    tree[0, 5] = 0
    np.savez(tmp_path / "d.npz", **{**arrays, "kintree_table": tree})
    for name in "abcd":
        with pytest.raises(HumanRefError) as raised:
            SmplxBody(tmp_path / f"{name}.npz")
        assert raised.value.code == "smplx_unreadable"

"""The judge on predictions whose faults are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.evaluation.dataset import SIDE, Truth, load_truth
from backend.evaluation.drawing import draw
from backend.evaluation.features import FeatureMetrics
from backend.evaluation.judge import Judge, Judgement, Measure, judge
from backend.evaluation.paper_metrics import UNAVAILABLE, PaperMetrics
from backend.evaluation.predictions import Prediction
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.mesh import ColoredMesh
from shared_protocol.skeleton import JOINT_NAMES


@pytest.fixture
def truth(write_subject, tmp_path: Path) -> Truth:
    return load_truth(write_subject(tmp_path / "doll"))


def predicted(doll: ColoredMesh, truth: Truth) -> Prediction:
    """The truth itself, in a world that is turned, shifted and half as large."""
    rotation = Rotation.from_rotvec((0.0, 0.4, 0.0)).as_matrix()
    joints = np.stack([truth.joints[name] for name in JOINT_NAMES])

    def move(points: np.ndarray) -> np.ndarray:
        return 0.5 * points @ rotation.T + (3.0, 1.0, -2.0)

    mesh = replace(doll, vertices=move(doll.vertices), normals=doll.normals @ rotation.T)
    camera = PhotoCamera(256.0, 256.0 - 3.0 * 256.0, 256.0 + 1.45 * 256.0)
    return Prediction(mesh, None, move(joints), camera, CropFrame(256.0, 256.0, 128.0), "none", {})


def judged(prediction: Prediction, truth: Truth) -> Judgement:
    photo = draw(prediction.mesh, prediction.skin, prediction.photo_camera(), SIDE)
    found = Judge(FeatureMetrics(), PaperMetrics({}, {"clip_score": "not here"}))
    return judge(found, prediction, Measure.of(found, truth), photo)


def test_the_truth_in_another_world_has_no_fault(doll: ColoredMesh, truth: Truth) -> None:
    metrics = judged(predicted(doll, truth), truth).metrics
    for alignment in ("joints", "icp"):
        found = metrics["aligned"][alignment]
        for group in ("front", "sides", "back"):
            assert found["views"][group]["silhouette_iou"] > 0.985
            assert found["views"][group]["psnr_db"] > 30.0
        assert found["geometry"]["chamfer_cm"] < 0.05
        assert found["geometry"]["normal_view_error_deg"] < 1.5
        assert found["body"]["mpjpe_mm"] < 1.0
    assert metrics["input_view"] == {
        "psnr_db": 60.0,
        "ssim": pytest.approx(1.0),
        "silhouette_iou": 1,
    }
    assert set(metrics["paper"].values()) == {UNAVAILABLE}


def test_a_wrong_back_shows_in_the_back_alone(doll: ColoredMesh, truth: Truth) -> None:
    colors = doll.colors.copy()
    colors[doll.vertices[:, 2] < -0.02] = (1.0, 0.0, 1.0)
    painted = replace(doll, colors=colors)
    metrics = judged(predicted(painted, truth), truth).metrics
    views = metrics["aligned"]["joints"]["views"]
    assert views["front"]["psnr_db"] > 30.0
    assert views["back"]["psnr_db"] < 12.0
    assert views["back"]["psnr_db"] < views["sides"]["psnr_db"] < 20.0
    assert views["front"]["perceptual"] < views["back"]["perceptual"]
    assert metrics["aligned"]["joints"]["geometry"]["chamfer_cm"] < 0.05


def test_icp_mends_what_wrong_joints_did(doll: ColoredMesh, truth: Truth) -> None:
    right = predicted(doll, truth)
    # 2 cm at true scale.
    off = replace(right, joints=right.joints + np.array([0.0, 0.0, 0.01]))
    metrics = judged(off, truth).metrics["aligned"]
    assert metrics["joints"]["body"]["mpjpe_mm"] < 1.0
    assert metrics["joints"]["geometry"]["chamfer_cm"] > 0.5
    assert metrics["icp"]["geometry"]["chamfer_cm"] < 0.15
    assert metrics["icp"]["body"]["mpjpe_mm"] == pytest.approx(20.0, abs=2.0)

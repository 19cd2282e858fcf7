"""How well a placed body explains the photo."""

from __future__ import annotations

import numpy as np

from backend.body.model import BodyModel, PosedBody
from backend.body.pose import BodyPose
from backend.fitting.evidence import Evidence
from backend.fitting.landmark_map import REFERENCE_STATURE, Anchor
from backend.fitting.report import FitReport
from backend.fitting.silhouette import draw_silhouette, intersection_over_union
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Subject
from shared_protocol.skeleton import JOINT_INDEX

_POOR_IOU = 0.6
_POOR_ERROR_PERCENT = 4.0


def score_fit(
    pose: BodyPose, camera: PhotoCamera, subject: Subject, model: BodyModel, evidence: Evidence
) -> FitReport:
    """Reprojection error of the trusted body landmarks and overlap of the silhouettes.

    The body's height in the photo is that of its T-pose (``scale`` and camera included), so that a
    sitting person's percentages mean the same. The error is None where no body landmark is trusted.
    ``seconds`` is left at 0 for the caller.
    """
    posed = model.pose(pose)
    pixels = camera.project(posed.vertices.astype(np.float64))
    height, width = subject.mask.shape
    covered = draw_silhouette(pixels, model.faces, width, height)
    iou = intersection_over_union(covered, np.asarray(subject.mask) > 0.5)
    rest = posed.rest_vertices[:, 1]
    stature = float(rest.max() - rest.min())
    errors = []
    for index, anchor in enumerate(evidence.anchors):
        if evidence.trusted[index] and evidence.group[index] == "body":
            placed = _anchor_world(posed, anchor, stature / REFERENCE_STATURE)
            errors.append(np.linalg.norm(camera.project(placed) - evidence.pixels[index]))
    error = float(np.mean(errors)) if errors else None
    in_photo = stature * pose.scale * camera.pixels_per_metre
    percent = None if error is None else 100 * error / in_photo
    warnings = list(evidence.warnings)
    if iou < _POOR_IOU or (percent is not None and percent > _POOR_ERROR_PERCENT):
        off = "" if percent is None else f", landmarks off by {percent:.1f}% of its height"
        warnings.append(f"The body fits poorly (overlap {iou:.2f}{off}): correct the pose by hand.")
    return FitReport(
        reprojection_error_px=None if error is None else round(error, 3),
        reprojection_error_percent=None if percent is None else round(percent, 3),
        silhouette_iou=round(iou, 4),
        missing_joints=evidence.missing_joints,
        seconds=0.0,
        warnings=tuple(warnings),
    )


def _anchor_world(posed: PosedBody, anchor: Anchor, growth: float) -> np.ndarray:
    joint = JOINT_INDEX[anchor.joint]
    rest = posed.rest_joints[joint] + growth * np.array(anchor.offset)
    transform = posed.transforms[joint].astype(np.float64)
    placed: np.ndarray = transform[:3, :3] @ rest + transform[:3, 3]
    return placed

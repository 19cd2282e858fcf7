"""One prediction against the truth: every number of the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from backend.evaluation.alignment import Similarity, fit_similarity, icp
from backend.evaluation.dataset import AZIMUTHS, BODY_JOINTS, NORMAL_AZIMUTHS, SIDE, Truth
from backend.evaluation.drawing import draw, draw_normals, over_grey
from backend.evaluation.features import Described, FeatureMetrics
from backend.evaluation.paper_metrics import UNAVAILABLE, PaperMetrics
from backend.evaluation.pictures import (
    Box,
    angle_between,
    foreground_box,
    psnr,
    silhouette_iou,
    ssim,
)
from backend.evaluation.predictions import Prediction
from backend.evaluation.surface import Surface, compare_surfaces, outer_surface
from backend.geometry.mesh import Mesh
from shared_protocol.skeleton import JOINT_INDEX, JOINT_NAMES

GROUPS: Mapping[str, tuple[int, ...]] = {
    "front": (0,),
    "sides": (45, 90, 135, 225, 270, 315),
    "back": (180,),
}
_ICP_POINTS = 8000


@dataclass(frozen=True)
class Judge:
    """The networks that judge; loaded once for a whole dataset."""

    features: FeatureMetrics
    paper: PaperMetrics


@dataclass(frozen=True)
class Measure:
    """What every prediction of one subject is compared with, made once."""

    truth: Truth
    surface: Surface
    """:func:`outer_surface` of the truth."""
    boxes: Mapping[int, Box]
    """Azimuth -> the box around the truth's silhouette."""
    described: Mapping[int, Described]
    """Azimuth -> the truth's crop over middle grey, as the network sees it."""

    @staticmethod
    def of(judge: Judge, truth: Truth) -> Measure:
        """Prepare a subject's truth."""
        boxes = {a: foreground_box(picture[..., 3] > 0.5) for a, picture in truth.colors.items()}
        described = {
            a: judge.features.describe(boxes[a].cut(over_grey(p)), boxes[a].cut(p[..., 3]))
            for a, p in truth.colors.items()
        }
        return Measure(truth, outer_surface(truth.mesh), boxes, described)


@dataclass(frozen=True)
class Judgement:
    """Numbers of one run on one subject, and what they were read from."""

    metrics: dict[str, Any]
    views: dict[int, Float[np.ndarray, "n n 4"]]
    """Azimuth -> RGBA, drawn after ICP as the truth's views were."""


def judge(
    judge: Judge,
    prediction: Prediction,
    measure: Measure,
    photo: Float[np.ndarray, "n n 4"],
) -> Judgement:
    """Measure a prediction, aligned by joints alone and by ICP after that.

    Args:
        measure: the subject's truth (:meth:`Measure.of`).
        photo: the photo's square crop (:func:`backend.evaluation.predictions.cut_out_photo`).
    """
    truth, true_surface = measure.truth, measure.surface
    by_joints = _align_joints(prediction, truth)
    vertices = by_joints.points(prediction.mesh.vertices.astype(np.float64))
    surface = outer_surface(Mesh(vertices, prediction.mesh.faces))
    step = icp(_some(surface), _some(true_surface))
    metrics: dict[str, Any] = {"aligned": {}}
    views: dict[int, np.ndarray] = {}
    both = {"joints": by_joints, "icp": by_joints.then(step)}
    for name, place in both.items():
        moved = surface if name == "joints" else _moved(surface, step)
        views = _views(prediction, truth, place)
        metrics["aligned"][name] = {
            "views": _picture_metrics(judge, views, measure),
            "geometry": {
                **compare_surfaces(moved, true_surface),
                "normal_view_error_deg": _normal_views(prediction, truth, place),
            },
            "body": _joint_errors(prediction, truth, place),
        }
    metrics["input_view"], metrics["paper"] = _against_photo(judge, prediction, photo, views)
    return Judgement(metrics, views)


def _align_joints(prediction: Prediction, truth: Truth) -> Similarity:
    source = prediction.joints[[JOINT_INDEX[name] for name in BODY_JOINTS]].astype(np.float64)
    return fit_similarity(source, np.stack([truth.joints[name] for name in BODY_JOINTS]))


def _joint_errors(prediction: Prediction, truth: Truth, place: Similarity) -> dict[str, float]:
    """Mean distance of joints, mm: the 22 of the body, and all that the truth names."""
    known = [name for name in JOINT_NAMES if name in truth.joints]
    joints = prediction.joints[[JOINT_INDEX[name] for name in known]].astype(np.float64)
    there = np.stack([truth.joints[name] for name in known])
    error = 1000.0 * np.linalg.norm(place.points(joints) - there, axis=1)
    body = np.array([name in BODY_JOINTS for name in known])
    return {"mpjpe_mm": float(error[body].mean()), "mpjpe_all_mm": float(error.mean())}


def _placed(prediction: Prediction, place: Similarity) -> Prediction:
    mesh = prediction.mesh
    vertices = place.points(mesh.vertices.astype(np.float64))
    normals = place.directions(mesh.normals.astype(np.float64))
    return replace(prediction, mesh=replace(mesh, vertices=vertices, normals=normals))


def _views(
    prediction: Prediction, truth: Truth, place: Similarity
) -> dict[int, Float[np.ndarray, "n n 4"]]:
    placed = _placed(prediction, place)
    return {
        azimuth: draw(placed.mesh, placed.skin, truth.camera(azimuth), SIDE) for azimuth in AZIMUTHS
    }


def _picture_metrics(
    judge: Judge, views: Mapping[int, Float[np.ndarray, "n n 4"]], measure: Measure
) -> dict[str, Any]:
    """Of each view, and the means of front, sides and back; both pictures lie over middle grey and
    are cut to the box around the truth's silhouette."""
    each: dict[int, dict[str, float]] = {}
    for azimuth, ours in views.items():
        target, box = measure.truth.colors[azimuth], measure.boxes[azimuth]
        a, b = box.cut(over_grey(ours)), box.cut(over_grey(target))
        each[azimuth] = {
            "psnr_db": psnr(a, b),
            "ssim": ssim(a, b),
            **judge.features.compare(
                judge.features.describe(a, box.cut(ours[..., 3])), measure.described[azimuth]
            ),
            # Of whole views: what lies outside the truth's box counts here.
            "silhouette_iou": silhouette_iou(ours[..., 3], target[..., 3]),
        }
    groups = {
        name: {
            metric: float(np.mean([each[azimuth][metric] for azimuth in azimuths]))
            for metric in each[0]
        }
        for name, azimuths in GROUPS.items()
    }
    return {**groups, "each": {f"{azimuth:03d}": values for azimuth, values in each.items()}}


def _normal_views(prediction: Prediction, truth: Truth, place: Similarity) -> float:
    """Mean angle to the truth's front and back normal pictures where both see the person, degrees."""
    placed = _placed(prediction, place)
    errors = []
    for azimuth in NORMAL_AZIMUTHS:
        normals, covered = draw_normals(placed.mesh, truth.camera(azimuth), SIDE)
        both = (covered > 0.5) & (truth.colors[azimuth][..., 3] > 0.5)
        errors.append(angle_between(normals.astype(np.float32), truth.normals[azimuth], both))
    return float(np.mean(errors))


def _against_photo(
    judge: Judge,
    prediction: Prediction,
    photo: Float[np.ndarray, "n n 4"],
    views: Mapping[int, Float[np.ndarray, "n n 4"]],
) -> tuple[dict[str, float], dict[str, Any]]:
    """The photo's own view against the photo, and the paper's three metrics."""
    ours = draw(prediction.mesh, prediction.skin, prediction.photo_camera(), len(photo))
    box = foreground_box(photo[..., 3] > 0.5)
    a, b = box.cut(over_grey(ours)), box.cut(over_grey(photo))
    seen = {
        "psnr_db": psnr(a, b),
        "ssim": ssim(a, b),
        "silhouette_iou": silhouette_iou(ours[..., 3], photo[..., 3]),
    }
    paper: dict[str, Any] = {"lpips_vgg": judge.paper("lpips_vgg", b, a)}
    for name in ("contextual_vgg19", "clip_score"):
        novel = [azimuth for azimuth in views if azimuth != 0]
        found = [judge.paper(name, b, _cut(views[azimuth])) for azimuth in novel]
        numbers = [value for value in found if not isinstance(value, str)]
        paper[name] = float(np.mean(numbers)) if numbers else UNAVAILABLE
    return seen, paper


def _cut(view: Float[np.ndarray, "n n 4"]) -> Float[np.ndarray, "h w 3"]:
    inside = view[..., 3] > 0.5
    return foreground_box(inside).cut(over_grey(view)) if inside.any() else over_grey(view)


def _some(surface: Surface) -> Float[np.ndarray, "n 3"]:
    """Samples are drawn at random, so the first ones are as good as any."""
    return surface.points[:_ICP_POINTS]


def _moved(surface: Surface, place: Similarity) -> Surface:
    triangles = place.points(surface.triangles.reshape(-1, 3)).reshape(-1, 3, 3)
    return Surface(place.points(surface.points), place.directions(surface.normals), triangles)

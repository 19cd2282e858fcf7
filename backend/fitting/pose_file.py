"""``pose.json``: a fitted (or corrected) pose with its camera, in and out. Schema: docs/pose-json.md."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.body.model import BodyModel
from backend.body.parameter_files import read_parameter_file
from backend.body.pose import BodyPose
from backend.body.posing import check_pose
from backend.errors import HumanRefError
from backend.files import write_error, write_whole
from backend.fitting.pose_schema import FORMAT, VERSION, PhotoInfo, PoseFile, parse_pose_file
from backend.fitting.report import FitReport
from backend.geometry.frames import PhotoCamera
from backend.perception.subject import Photo
from shared_protocol.skeleton import JOINT_NAMES, POSE_SLICES

_PARAMETER_SUFFIXES = (".npz", ".pkl", ".pickle")
_MAX_BYTES = 4_000_000
# Larger than rounding in JSON and float32, smaller than anything a person would draw.
_JOINT_TOLERANCE = 2e-3


def make_pose_file(
    pose: BodyPose,
    camera: PhotoCamera,
    model: BodyModel,
    photo: Photo,
    report: FitReport | None = None,
) -> PoseFile:
    """A complete pose file of a fit.

    Raises:
        HumanRefError: see :func:`backend.body.posing.check_pose`.
    """
    height, width = photo.rgb.shape[:2]
    info = PhotoInfo(width=width, height=height, sha256=photo.digest)
    return PoseFile(pose, camera, model.pose(pose).joints, info, report)


def write_pose(path: Path, pose_file: PoseFile) -> None:
    """Write ``pose_file`` as JSON; the file appears whole or not at all.

    Raises:
        HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(error, path) from error
    write_whole(path, _to_json(pose_file).encode())


def read_pose(path: Path, model: BodyModel | None = None, photo: Photo | None = None) -> PoseFile:
    """Read and check a pose.json, or SMPL-X parameters of another program (no camera then).

    Args:
        model: when given, the pose must be for this body; listed joints must be where its parameters
            put them, and missing ones are computed.
        photo: when given, a camera must have been made for a photo of this size.

    Raises:
        HumanRefError: ``pose_unreadable``, ``pose_format``, ``pose_version``, ``pose_shape``,
            ``pose_not_finite``, ``pose_unknown_key``, ``pose_joints_mismatch``,
            ``pose_other_photo``, and those of :func:`backend.body.posing.check_pose` and
            :func:`backend.body.parameter_files.read_parameter_file`.
    """
    path = Path(path)
    content = None if path.suffix.lower() in _PARAMETER_SUFFIXES else _load_json(path)
    if content is None or _is_parameters(content):
        return _from_parameters(read_parameter_file(path), model)
    pose_file = parse_pose_file(content, path.name)
    if photo is not None:
        check_photo_size(pose_file, photo)
    if model is None:
        return pose_file
    check_pose(model, pose_file.pose)
    computed = model.pose(pose_file.pose).joints
    if pose_file.joints is not None:
        apart = np.linalg.norm(pose_file.joints - computed, axis=1)
        worst = int(apart.argmax())
        if apart[worst] > _JOINT_TOLERANCE * max(1.0, pose_file.pose.scale):
            raise HumanRefError(
                "pose_joints_mismatch",
                f"In {path.name} the joint {JOINT_NAMES[worst]} lies "
                f"{100 * apart[worst]:.1f} cm from where the pose parameters put it.",
                'Edit the rotations, not the joints; or delete "joints" to have them computed.',
            )
    return PoseFile(pose_file.pose, pose_file.camera, computed, pose_file.photo, pose_file.fit)


def _is_parameters(content: Any) -> bool:
    """JSON of another program: SMPL-X parts, but neither our format nor our camera."""
    ours = ("format", "version", "camera", "photo")
    return isinstance(content, dict) and not any(key in content for key in ours)


def _from_parameters(pose: BodyPose, model: BodyModel | None) -> PoseFile:
    """SMPL-X's joint angles fit any body here; its shape coefficients only fit its own body."""
    if model is None:
        return PoseFile(pose)
    notes: tuple[str, ...] = ()
    if pose.model != model.name:
        notes = (
            "The shape coefficients of the parameter file belong to another body model "
            "and were left out; its pose was kept.",
        )
        pose = replace(pose, betas=np.zeros(model.n_betas, np.float32), model=model.name)
    check_pose(model, pose)
    return PoseFile(pose, joints=model.pose(pose).joints, notes=notes)


def check_photo_size(pose_file: PoseFile, photo: Photo) -> None:
    """Raise HumanRefError ``pose_other_photo`` when the camera is for a photo of another size."""
    height, width = photo.rgb.shape[:2]
    info = pose_file.photo
    if info is not None and (info.width, info.height) != (width, height):
        raise HumanRefError(
            "pose_other_photo",
            f"The pose was made for a photo of {info.width} x {info.height} pixels, "
            f"this one has {width} x {height}.",
            "Give the photo that the pose was made from, or estimate the pose again.",
        )


def _load_json(path: Path) -> Any:
    def refuse(constant: str) -> float:
        raise HumanRefError(
            "pose_not_finite",
            f"The pose file {path.name} holds {constant}, which is not a number.",
            "Every value must be a finite number.",
        )

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError("it is larger than 4 MB")
        # Editors on Windows put a byte order mark before what they save.
        return json.loads(data.decode("utf-8-sig"), parse_constant=refuse)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise HumanRefError(
            "pose_unreadable",
            f"The pose file {path} cannot be read: {reason}.",
            "Give a pose.json written by humanref estimate.",
        ) from error


def _to_json(pose_file: PoseFile) -> str:
    pose = pose_file.pose
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "model": pose.model,
        "betas": _rounded(pose.betas),
        **{name: _rounded(pose.part(name)) for name in POSE_SLICES},
        "transl": _rounded(pose.transl),
        "scale": float(pose.scale),
    }
    # Single rotations are flat in SMPL-X's own files.
    for name in ("global_orient", "jaw_pose", "leye_pose", "reye_pose"):
        content[name] = content[name][0]
    if pose_file.joints is not None:
        rows = _rounded(pose_file.joints)
        content["joints"] = dict(zip(JOINT_NAMES, rows, strict=True))
    if pose_file.camera is not None:
        content["camera"] = {
            name: float(getattr(pose_file.camera, name))
            for name in ("pixels_per_metre", "center_u", "center_v")
        }
    if pose_file.photo is not None:
        content["photo"] = dict(vars(pose_file.photo))
    if pose_file.fit is not None:
        content["fit"] = pose_file.fit.as_dict()
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _rounded(array: np.ndarray) -> Any:
    return np.round(np.asarray(array, np.float64), 7).tolist()

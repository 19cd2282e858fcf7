"""The content of a pose.json: its dataclasses, and the checks that turn JSON into them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from backend.fitting.report import FitReport
from backend.geometry.frames import PhotoCamera
from shared_protocol.skeleton import JOINT_NAMES, N_JOINTS, POSE_SLICES

FORMAT = "humanref-pose"
VERSION = 1
DEFAULT_MODEL = "anny_smplx55"
_REQUIRED = ("global_orient", "body_pose")
_KEYS = {
    *("format", "version", "model", "betas", "transl", "scale"),
    *POSE_SLICES,
    *("joints", "camera", "photo", "fit"),
}
_MAX_BETAS = 400


@dataclass(frozen=True)
class PhotoInfo:
    """The photo a camera belongs to: size as humanref works with it, SHA-256 of the file."""

    width: int
    height: int
    sha256: str = ""


@dataclass(frozen=True)
class PoseFile:
    """What a pose.json holds."""

    pose: BodyPose
    camera: PhotoCamera | None = None
    joints: Float[np.ndarray, "55 3"] | None = None
    """Joint centres in the world frame, metres; None where nobody computed them yet."""
    photo: PhotoInfo | None = None
    fit: FitReport | None = None
    notes: tuple[str, ...] = ()
    """What reading changed, to be told to the user."""


def parse_pose_file(content: Any, name: str) -> PoseFile:
    """Turn decoded JSON into a :class:`PoseFile`; ``name`` is the file's, for messages.

    ``global_orient`` and ``body_pose`` are required; other parts default to zero, ``betas`` to the
    mean shape, ``scale`` to 1, ``model`` to the body that ships with humanref.

    Raises:
        HumanRefError: ``pose_format``, ``pose_version``, ``pose_unknown_key``, ``pose_shape``,
            ``pose_not_finite``.
    """
    reader = _Reader(name)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise HumanRefError(
            "pose_format",
            f'{name} is not a pose file: it has no "format": "{FORMAT}".',
            "Give a pose.json written by humanref estimate, or add the format and version lines.",
        )
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise HumanRefError(
            "pose_version",
            f"{name} has pose file version {version!r}; this humanref reads version {VERSION}.",
            "Estimate the pose again, or use the humanref that wrote the file.",
        )
    reader.known(content, _KEYS, "the file")
    for key in _REQUIRED:
        if key not in content:
            raise reader.wrong(key, "is missing")
    return PoseFile(
        pose=_parse_pose(content, reader),
        camera=_parse_camera(content["camera"], reader) if "camera" in content else None,
        joints=_parse_joints(content["joints"], reader) if "joints" in content else None,
        photo=_parse_photo(content["photo"], reader) if "photo" in content else None,
        fit=_parse_fit(content["fit"], reader) if "fit" in content else None,
    )


def _parse_pose(content: dict[str, Any], reader: _Reader) -> BodyPose:
    full_pose = np.zeros((N_JOINTS, 3), np.float32)
    for name, where in POSE_SLICES.items():
        if name in content:
            full_pose[where] = reader.array(content, name, (where.stop - where.start, 3))
    betas = content.get("betas", [])
    if not isinstance(betas, list) or len(betas) > _MAX_BETAS:
        raise reader.wrong("betas", f"must be a list of at most {_MAX_BETAS} numbers")
    model = content.get("model", DEFAULT_MODEL)
    if not isinstance(model, str):
        raise reader.wrong("model", "must be the name of a body model")
    zero = {"betas": betas, "transl": content.get("transl", [0, 0, 0])}
    return BodyPose(
        betas=reader.array(zero, "betas", (len(betas),)),
        full_pose=full_pose,
        transl=reader.array(zero, "transl", (3,)),
        scale=reader.positive(content, "scale") if "scale" in content else 1.0,
        model=model,
    )


def _parse_camera(value: Any, reader: _Reader) -> PhotoCamera:
    keys = ("pixels_per_metre", "center_u", "center_v")
    reader.section(value, "camera", keys, keys)
    return PhotoCamera(
        pixels_per_metre=reader.positive(value, "pixels_per_metre"),
        center_u=reader.number(value, "center_u"),
        center_v=reader.number(value, "center_v"),
    )


def _parse_joints(value: Any, reader: _Reader) -> Float[np.ndarray, "55 3"]:
    reader.section(value, "joints", JOINT_NAMES, JOINT_NAMES)
    return np.stack([reader.array(value, name, (3,)) for name in JOINT_NAMES])


def _parse_photo(value: Any, reader: _Reader) -> PhotoInfo:
    reader.section(value, "photo", ("width", "height"), ("width", "height", "sha256"))
    sides = {}
    for side in ("width", "height"):
        sides[side] = value[side]
        if not isinstance(value[side], int) or isinstance(value[side], bool) or value[side] < 1:
            raise reader.wrong(f"photo.{side}", "must be a positive whole number")
    digest = value.get("sha256", "")
    if not isinstance(digest, str):
        raise reader.wrong("photo.sha256", "must be a text")
    return PhotoInfo(sides["width"], sides["height"], digest)


def _parse_fit(value: Any, reader: _Reader) -> FitReport:
    scores = ("reprojection_error_px", "reprojection_error_percent", "silhouette_iou")
    numbers = (*scores, "seconds")
    texts = ("missing_joints", "warnings")
    reader.section(value, "fit", (*numbers, *texts), (*numbers, *texts))
    for key in texts:
        if not isinstance(value[key], list) or not all(isinstance(t, str) for t in value[key]):
            raise reader.wrong(f"fit.{key}", "must be a list of texts")
    return FitReport(
        **{k: None if value[k] is None else reader.number(value, k) for k in scores},
        seconds=reader.number(value, "seconds"),
        missing_joints=tuple(value["missing_joints"]),
        warnings=tuple(value["warnings"]),
    )


class _Reader:
    """Typed access to decoded JSON with messages that name the file and the key."""

    def __init__(self, name: str) -> None:
        self._name = name

    def wrong(self, key: str, what: str) -> HumanRefError:
        """The error for a value of the wrong kind or shape."""
        return HumanRefError(
            "pose_shape",
            f'In {self._name} "{key}" {what}.',
            "docs/pose-json.md lists what belongs in a pose file.",
        )

    def known(self, value: dict[str, Any], keys: Any, where: str) -> None:
        """Refuse keys nobody reads: a mistyped one would silently change nothing."""
        unknown = sorted(set(value) - set(keys))
        if unknown:
            raise HumanRefError(
                "pose_unknown_key",
                f'{self._name} has "{unknown[0]}" in {where}, which means nothing to humanref.',
                "Check the spelling against docs/pose-json.md, or delete it.",
            )

    def section(self, value: Any, name: str, required: Any, keys: Any) -> None:
        """Check that ``value`` is an object with the right keys."""
        if not isinstance(value, dict):
            raise self.wrong(name, "must be an object")
        self.known(value, keys, name)
        for key in required:
            if key not in value:
                raise self.wrong(f"{name}.{key}", "is missing")

    def number(self, holder: dict[str, Any], key: str) -> float:
        """A finite number."""
        value = holder[key]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(key, "must be a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._not_finite(key)
        return number

    def positive(self, holder: dict[str, Any], key: str) -> float:
        """A finite number above zero."""
        number = self.number(holder, key)
        if number <= 0:
            raise self.wrong(key, "must be above 0")
        return number

    def array(
        self, holder: dict[str, Any], key: str, shape: tuple[int, ...]
    ) -> Float[np.ndarray, "..."]:
        """A float32 array of ``shape``; nested or flat lists of as many numbers are both fine."""
        expected = " x ".join(map(str, shape))
        flat: list[Any] = []
        stack = [holder[key]]
        while stack:
            value = stack.pop()
            if isinstance(value, list) and len(stack) + len(value) <= 10_000:
                stack.extend(reversed(value))
            else:
                flat.append(value)
        if not isinstance(holder[key], list) or len(flat) != math.prod(shape):
            raise self.wrong(key, f"must hold {expected} numbers")
        numbers = [self.number({key: value}, key) for value in flat]
        with np.errstate(over="ignore"):
            values = np.array(numbers, np.float32)
        if not np.isfinite(values).all():
            raise self._not_finite(key)
        return values.reshape(shape)

    def _not_finite(self, key: str) -> HumanRefError:
        return HumanRefError(
            "pose_not_finite",
            f'In {self._name} "{key}" holds a value that is not a finite number.',
            "Every value must be a finite number.",
        )

"""A benchmark dataset on disk: what must be there, checked before anything is computed.

::

    DATASET/<subject>/photo.png               all that a method may read
    DATASET/<subject>/views/color_000.png     ... _315: RGBA, orthographic, azimuth in steps of 45
    DATASET/<subject>/views/normal_000.png    and _180: normals in the body's frame, colours (n + 1) / 2
    DATASET/<subject>/mesh.ply                surface in metres, body frame; may be layered shells
    DATASET/<subject>/body.json               {"joints": {name: [x, y, z]},
                                        "ortho": {"center": [...], "half_height": h}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float
from PIL import Image

from backend.errors import HumanRefError
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import Mesh
from shared_protocol.skeleton import JOINT_NAMES

AZIMUTHS = tuple(range(0, 360, 45))
NORMAL_AZIMUTHS = (0, 180)
SIDE = 512
"""Of every view, pixels."""
BODY_JOINTS = JOINT_NAMES[:22]
"""SMPL-X's body without face and fingers: these every subject must name."""

_LAYOUT = "The layout is DATASET/<subject>/photo.png, mesh.ply, body.json and views/."


@dataclass(frozen=True)
class Truth:
    """What is known of one subject; metres, body frame, sRGB in [0, 1]."""

    name: str
    mesh: Mesh
    joints: dict[str, Float[np.ndarray, "3"]]
    center: tuple[float, float, float]
    """The point that every view looks at."""
    half_height: float
    """Half the side of a view, metres."""
    colors: dict[int, Float[np.ndarray, "n n 4"]]
    """Azimuth -> RGBA, straight alpha."""
    normals: dict[int, Float[np.ndarray, "n n 3"]]
    """Azimuth -> unit normals where that view sees the person."""

    def camera(self, azimuth: int) -> OrthographicCamera:
        """The camera that made a view."""
        return OrthographicCamera(float(azimuth), 0.0, self.half_height, self.center)


def subject_files() -> tuple[str, ...]:
    """Every file that a subject's folder must hold, photo first."""
    views = [f"views/color_{azimuth:03d}.png" for azimuth in AZIMUTHS]
    views += [f"views/normal_{azimuth:03d}.png" for azimuth in NORMAL_AZIMUTHS]
    return ("photo.png", *views, "mesh.ply", "body.json")


def find_subjects(dataset: Path, limit: int | None = None) -> list[Path]:
    """The subjects' folders by name, the first ``limit`` of them, each complete.

    Raises:
        HumanRefError: ``dataset_missing``, ``dataset_layout``, ``dataset_empty``,
            ``dataset_incomplete`` (names subject and files).
    """
    if not dataset.is_dir():
        what = "is a file, not a folder" if dataset.exists() else "does not exist"
        raise HumanRefError("dataset_missing", f"The dataset {dataset} {what}.", _LAYOUT)
    if (dataset / "photo.png").is_file() or (dataset / "views").is_dir():
        raise HumanRefError(
            "dataset_layout",
            f"{dataset} is one subject, not a folder of subjects.",
            "Give the folder above it.",
        )
    folders = sorted(p for p in dataset.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise HumanRefError("dataset_empty", f"The dataset {dataset} has no subjects.", _LAYOUT)
    chosen = folders[:limit]
    for folder in chosen:
        absent = [name for name in subject_files() if not (folder / name).is_file()]
        if len(absent) == len(subject_files()):
            raise HumanRefError("dataset_layout", f"{folder} holds nothing of a subject.", _LAYOUT)
        if absent:
            raise HumanRefError(
                "dataset_incomplete",
                f"The subject {folder.name} lacks {', '.join(absent)}.",
                "Add what is missing, or take the subject out of the dataset.",
            )
    return chosen


def load_truth(folder: Path) -> Truth:
    """Read one subject.

    Raises:
        HumanRefError: ``dataset_file_invalid`` (names the file and what is wrong with it).
    """
    body = _read_body(folder / "body.json")
    views = folder / "views"
    colors = {a: _read_picture(views / f"color_{a:03d}.png") for a in AZIMUTHS}
    return Truth(
        name=folder.name,
        mesh=_read_mesh(folder / "mesh.ply"),
        joints=body[0],
        center=body[1],
        half_height=body[2],
        colors=colors,
        normals={a: _read_normals(views / f"normal_{a:03d}.png") for a in NORMAL_AZIMUTHS},
    )


def check_subject(folder: Path) -> None:
    """Read what is cheap to read, so that a broken file is named before the first run.

    Raises:
        HumanRefError: ``dataset_file_invalid``.
    """
    _read_body(folder / "body.json")
    for name in subject_files():
        if name.startswith("views/"):
            _check_picture(folder / name)


def _invalid(path: Path, why: str, hint: str) -> HumanRefError:
    return HumanRefError("dataset_file_invalid", f"{path.parent.name}/{path.name}: {why}.", hint)


def _read_body(
    path: Path,
) -> tuple[dict[str, Float[np.ndarray, "3"]], tuple[float, float, float], float]:
    hint = 'It holds {"joints": {name: [x, y, z]}, "ortho": {"center": [...], "half_height": h}}.'
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        joints = {str(k): np.array(v, np.float64) for k, v in content["joints"].items()}
        x, y, z = (float(value) for value in content["ortho"]["center"])
        half = float(content["ortho"]["half_height"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _invalid(path, f"cannot be understood ({type(error).__name__})", hint) from error
    broken = [k for k, v in joints.items() if v.shape != (3,) or not np.isfinite(v).all()]
    if broken:
        raise _invalid(path, f"the joint {broken[0]} is no point", hint)
    absent = [name for name in BODY_JOINTS if name not in joints]
    if absent:
        raise _invalid(path, f"the joints lack {', '.join(absent)}", "Name SMPL-X's body joints.")
    if not (np.isfinite([x, y, z, half]).all() and half > 0):
        raise _invalid(path, "center and half_height make no camera", hint)
    return joints, (x, y, z), half


def _check_picture(path: Path) -> None:
    try:
        with Image.open(path) as picture:
            size, mode = picture.size, picture.mode
    except (OSError, ValueError) as error:
        raise _invalid(path, "is no picture", "Write it again.") from error
    if size != (SIDE, SIDE) or mode != "RGBA":
        width, height = size
        raise _invalid(path, f"is {width}x{height} {mode}", f"Views are {SIDE}x{SIDE} RGBA.")


def _read_picture(path: Path) -> Float[np.ndarray, "n n 4"]:
    _check_picture(path)
    try:
        with Image.open(path) as picture:
            pixels: np.ndarray = np.asarray(picture, np.float32) / np.float32(255)
    except (OSError, ValueError) as error:
        raise _invalid(path, "cannot be read to its end", "Write it again.") from error
    if not (pixels[..., 3] > 0.5).any():
        raise _invalid(path, "shows nobody: its alpha is empty", "Alpha is the silhouette.")
    return pixels


def _read_normals(path: Path) -> Float[np.ndarray, "n n 3"]:
    vectors = _read_picture(path)[..., :3] * 2.0 - 1.0
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(length, 1e-6)
    return unit


def _read_mesh(path: Path) -> Mesh:
    hint = "It is a PLY with triangles, metres, y up, facing +z."
    try:
        loaded: Any = trimesh.load(path, process=False, force="mesh")
        vertices = np.asarray(loaded.vertices, np.float64)
        faces = np.asarray(loaded.faces, np.int64)
    except Exception as error:
        raise _invalid(path, f"cannot be read ({type(error).__name__})", hint) from error
    if not len(faces):
        raise _invalid(path, "has no triangles", hint)
    if not np.isfinite(vertices).all():
        raise _invalid(path, "has positions that are not finite", hint)
    return Mesh(vertices, faces)

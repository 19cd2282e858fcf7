"""SMPL-X parameters made by other programs (SMPLify-X, SMPLer-X, PIXIE, ...) as a ``BodyPose``."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from backend.body.pose import BodyPose
from backend.body.safe_pickle import load_pickle
from backend.errors import HumanRefError
from shared_protocol.skeleton import N_JOINTS, POSE_SLICES

# Other names for our parts, by the programs that use them.
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "global_orient": ("root_orient", "global_pose", "smplx_root_pose", "root_pose"),
    "body_pose": ("pose_body", "smplx_body_pose"),
    "jaw_pose": ("pose_jaw", "smplx_jaw_pose"),
    "leye_pose": ("left_eye_pose",),
    "reye_pose": ("right_eye_pose",),
    "left_hand_pose": ("smplx_lhand_pose", "lhand_pose"),
    "right_hand_pose": ("smplx_rhand_pose", "rhand_pose"),
    "betas": ("shape", "smplx_shape", "beta"),
    "transl": ("trans", "translation"),
}
_NESTS = ("smplx", "smplx_params", "params", "result", "results", "pred", "output")
_MAX_BETAS = 300
_VPOSER_SIZE = 32
# What numpy and zipfile raise for a damaged, encrypted or oddly compressed npz.
_DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_parameter_file(path: Path) -> BodyPose:
    """SMPL-X parameters of one person from ``.npz``, ``.pkl``/``.pickle`` or ``.json``.

    Understood keys: betas, transl, global_orient, body_pose, left_hand_pose, right_hand_pose,
    jaw_pose, leye_pose, reye_pose (and the names that common programs use instead), or ``full_pose``
    / ``poses`` (165 values). Parts may be axis-angles or rotation matrices, with or without a batch
    dimension of 1; missing parts are zero, but for body_pose. Hands are taken as relative to the flat
    hand (flat_hand_mean=True): files do not say; the mean hand itself is licensed data.
    Nothing stored in a pickle is executed. Expression and camera are not read.

    Raises:
        HumanRefError: ``parameters_unreadable``, ``parameters_unsafe`` (a pickle that wants to run
            code), ``parameters_inconsistent`` (missing part, shape, NaN, several people, VPoser or
            PCA codes).
    """
    parameters = _flatten(_read(path))
    pose = np.zeros((N_JOINTS, 3), np.float32)
    whole = parameters.get("full_pose", parameters.get("poses"))
    if whole is not None:
        pose[:] = _axis_angles("full_pose", _numbers("full_pose", whole), N_JOINTS)
    elif _find(parameters, "body_pose") is None:
        raise _inconsistent(
            f"{path.name} has no body_pose; it has: {', '.join(sorted(parameters)) or 'nothing'}."
        )
    for name, where in POSE_SLICES.items():
        value = _find(parameters, name)
        if value is not None:
            pose[where] = _axis_angles(name, _numbers(name, value), where.stop - where.start)
    return BodyPose(
        betas=_vector(parameters, "betas", None),
        full_pose=pose,
        transl=_vector(parameters, "transl", 3),
        model="smplx",
    )


def _inconsistent(message: str, hint: str = "") -> HumanRefError:
    return HumanRefError("parameters_inconsistent", message, hint)


def _read(path: Path) -> object:
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".json", ".pkl", ".pickle"):
        raise HumanRefError(
            "parameters_unreadable",
            f"{path.name} is not a kind of SMPL-X parameter file that humanref reads.",
            "Give a .npz, .pkl or .json file.",
        )
    try:
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {key: _member(file, key) for key in file.files}
        if suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8-sig"))
        return load_pickle(path.read_bytes())
    except _DAMAGED as error:
        raise HumanRefError(
            "parameters_unreadable", f"{path.name} cannot be read: {error}."
        ) from error


def _member(file: np.lib.npyio.NpzFile, key: str) -> object:
    """An array of an npz; object arrays (pickles inside) come back as None: nobody reads them."""
    try:
        return file[key]
    except ValueError:
        return None


def _flatten(data: object) -> dict[str, object]:
    """The mapping that holds the parameters: one person's, one level down where programs nest it."""
    for _ in range(3):
        if isinstance(data, list | tuple):
            if len(data) != 1:
                raise _inconsistent(
                    f"The file holds {len(data)} people or frames.", "Keep one of them."
                )
            data = data[0]
        if not isinstance(data, dict):
            raise _inconsistent("The file holds no named SMPL-X parameters.")
        inner = next((data[key] for key in _NESTS if isinstance(data.get(key), dict | list)), None)
        if inner is None:
            break
        data = inner
    if not isinstance(data, dict):
        raise _inconsistent("The file holds no named SMPL-X parameters.")
    return {str(key): value for key, value in data.items()}


def _find(parameters: Mapping[str, object], name: str) -> object | None:
    for key in (name, *_SYNONYMS[name]):
        if parameters.get(key) is not None:
            return parameters[key]
    return None


def _numbers(name: str, value: object) -> Float[np.ndarray, "..."]:
    """A value as finite float64 numbers, its batch dimensions of 1 left in place."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise _inconsistent(f"{name} is not made of numbers.") from error
    if not np.isfinite(array).all():
        raise _inconsistent(f"{name} holds values that are not finite numbers.")
    return array


def _vector(parameters: Mapping[str, object], name: str, size: int | None) -> np.ndarray:
    value = _find(parameters, name)
    if value is None:
        return np.zeros(size or 10, np.float32)
    array = _numbers(name, value)
    if array.ndim > 1 and array.size != array.shape[-1]:
        raise _inconsistent(
            f"{name} has shape {array.shape}: several people or frames.", "Keep one of them."
        )
    if array.size != size and (size is not None or not 1 <= array.size <= _MAX_BETAS):
        expected = str(size) if size is not None else f"1 to {_MAX_BETAS}"
        raise _inconsistent(f"{name} has {array.size} values; expected are {expected}.")
    return array.reshape(-1).astype(np.float32)


def _axis_angles(name: str, array: Float[np.ndarray, "..."], joints: int) -> np.ndarray:
    """(joints, 3) axis-angles from axis-angles or rotation matrices of any batch-of-one shape."""
    if array.size == 9 * joints and array.shape[-2:] == (3, 3):
        return _from_matrices(name, array.reshape(joints, 3, 3))
    if array.size == 3 * joints:
        return array.reshape(joints, 3).astype(np.float32)
    if name == "body_pose" and array.size == _VPOSER_SIZE:
        raise _inconsistent(
            "body_pose is a VPoser code (32 numbers), not joint rotations.",
            "Decode it with VPoser and save the 63 axis-angle values.",
        )
    if name.endswith("hand_pose") and array.size <= 3 * joints and array.size in (6, 12, 24):
        raise _inconsistent(
            f"{name} holds {array.size} PCA coefficients, which mean something only together with "
            "the licensed SMPL-X model.",
            "Save the hands with use_pca=False and flat_hand_mean=True (45 values each).",
        )
    unit = 3 * joints
    if array.size and array.size % unit == 0:
        raise _inconsistent(
            f"{name} has shape {array.shape}: several people or frames.", "Keep one of them."
        )
    raise _inconsistent(
        f"{name} has shape {array.shape}; expected are {unit} axis-angle values "
        f"or {joints} rotation matrices."
    )


def _from_matrices(name: str, matrices: Float[np.ndarray, "j 3 3"]) -> np.ndarray:
    error = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max()
    if error > 1e-2 or np.linalg.det(matrices).min() < 0:
        raise _inconsistent(f"{name} holds 3x3 matrices that are not rotations.")
    return np.asarray(Rotation.from_matrix(matrices).as_rotvec(), np.float32)

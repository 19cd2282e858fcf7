"""What a .blend keeps about our objects: one versioned group of custom properties an object.

Names and plain numbers only, never references, so that copies, undo and appending to another file work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import bpy
import numpy as np
from numpy.typing import NDArray

from ..shared_protocol.messages import Camera, PhotoInfo
from .errors import SceneError

VERSION: Final = 1
"""Grows when older add-ons would misread the group."""
RIG: Final = "humanref_rig"
"""On armatures: kind, model, betas, scale, height, pelvis ..., see rig.py."""
JOINT: Final = "humanref_joint"
"""On bones: the SMPL-X name, whatever the bone is called now."""
CAMERA: Final = "humanref_camera"
"""On camera objects: the photo they belong to."""
MESH: Final = "humanref_mesh"
"""On mesh objects: their role (``body``, ``character``, ``live``)."""

BODY: Final = "body"
CHARACTER: Final = "character"
ADOPTED: Final = "adopted"


def write(target: bpy.types.ID, key: str, values: Mapping[str, Any]) -> None:
    """Replace the group ``key``; arrays become flat lists of floats."""
    target[key] = {"version": VERSION, **{name: _plain(value) for name, value in values.items()}}


def update(target: bpy.types.ID, key: str, **values: Any) -> None:
    """Change some entries of an existing group."""
    for name, value in values.items():
        target[key][name] = _plain(value)


def read(target: bpy.types.ID, key: str) -> dict[str, Any] | None:
    """The group as plain values (arrays as lists); None where there is none.

    Raises:
        SceneError: ``stored_newer`` for a group written by a later version.
    """
    group = target.get(key)
    if group is None or not hasattr(group, "to_dict"):
        return None
    values: dict[str, Any] = group.to_dict()
    if int(values.get("version", 0)) > VERSION:
        raise SceneError(
            "stored_newer",
            f"{target.name} was made by a newer version of HumanRef.",
            "Update the add-on to edit it.",
        )
    return values


def has(target: bpy.types.ID, key: str) -> bool:
    """Whether the group is there."""
    return target.get(key) is not None


def array(values: Mapping[str, Any], name: str, *shape: int) -> NDArray[np.float64]:
    """An entry as an array of ``shape``."""
    return np.asarray(list(values[name]), np.float64).reshape(shape)


def camera_values(camera: Camera | None) -> list[float]:
    """A camera as numbers; an empty list for none."""
    if camera is None:
        return []
    return [camera.pixels_per_metre, camera.center_u, camera.center_v]


def camera_from(values: Mapping[str, Any]) -> Camera | None:
    """The inverse of :func:`camera_values` on the entry ``camera``."""
    numbers = [float(value) for value in values.get("camera", ())]
    if len(numbers) != 3:
        return None
    return Camera(pixels_per_metre=numbers[0], center_u=numbers[1], center_v=numbers[2])


def photo_values(photo: PhotoInfo | None) -> dict[str, Any]:
    """A photo's data as entries of a group."""
    if photo is None:
        return {}
    return {
        "photo_width": photo.width,
        "photo_height": photo.height,
        "photo_sha256": photo.sha256,
    }


def photo_from(values: Mapping[str, Any]) -> PhotoInfo | None:
    """The inverse of :func:`photo_values`."""
    if "photo_sha256" not in values:
        return None
    return PhotoInfo(
        width=int(values["photo_width"]),
        height=int(values["photo_height"]),
        sha256=str(values["photo_sha256"]),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if isinstance(value, (list, tuple)):
        return [float(number) for number in value]
    return value

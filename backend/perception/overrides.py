"""The user's own mask, regions, caption and normals: the artist's last word beats any model.

Pictures may have the size of the photo's file or the size at which the program works on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError

from backend.errors import HumanRefError
from backend.perception.cut_lines import CutLines
from backend.perception.parsing import fill_from_nearest
from backend.perception.region_files import decode_regions
from backend.perception.subject import Photo


@dataclass(frozen=True)
class Overrides:
    """What the user brought instead of a stage's own result; None = the stage runs."""

    mask: Path | None = None
    """Grey picture, white = person; or a picture whose alpha channel is the silhouette."""
    regions: Path | None = None
    """0 background, 1 head, 2 upper body, 3 lower body, 4 feet (see ``region_files``)."""
    caption: str | None = None
    normals_front: Path | None = None
    """Body-frame normals as RGB = (n + 1) / 2, 8 or 16 bits."""
    normals_back: Path | None = None
    """The same, as a camera behind the person sees them (mirrored against the photo)."""
    cuts: CutLines = field(default_factory=CutLines)
    """Rows at which the embedded parser parts head, upper body, lower body and feet."""


def read_mask(path: Path, photo: Photo) -> Float[np.ndarray, "h w"]:
    """A soft silhouette at the photo's size.

    Raises:
        HumanRefError: ``mask_unreadable``, ``mask_size``, ``mask_empty``, ``mask_full``.
    """
    image = _open(path, "mask")
    if image.mode in ("RGBA", "LA") and np.asarray(image.getchannel("A")).min() < 255:
        values = np.asarray(image.getchannel("A")).astype(np.float32) / 255.0
    elif image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.float32)
        values = wide / (65535.0 if wide.max() > 255 else 255.0)
    else:
        values = np.asarray(image.convert("L")).astype(np.float32) / 255.0
    if 0.0 < values.max() <= 1.5 / 255.0:
        # Programs also store masks as 0 and 1.
        values = (values > 0).astype(np.float32)
    mask = _at_photo_size(values, photo, path, "mask", cv2.INTER_AREA)
    inside = float((mask > 0.5).mean())
    if inside < 1e-3:
        raise HumanRefError(
            "mask_empty",
            f"The mask {path.name} marks (almost) nothing as person.",
            "Paint the person white on black.",
        )
    if inside > 0.98:
        raise HumanRefError(
            "mask_full",
            f"The mask {path.name} marks the whole photo as person.",
            "Paint the person white and everything else black.",
        )
    return mask


def check_mask_on_person(
    mask: Float[np.ndarray, "h w"], prior: Float[np.ndarray, "h w"], name: str
) -> None:
    """Raise ``mask_elsewhere`` when a user's mask misses the person found in the photo."""
    person = prior > 0.5
    covered = float((mask[person] > 0.5).mean()) if person.any() else 0.0
    if covered < 0.3:
        raise HumanRefError(
            "mask_elsewhere",
            f"The mask {name} covers {100 * covered:.0f} % of the person found in the photo.",
            "Check that it belongs to this photo, and that white is the person.",
        )


def read_regions(
    path: Path, photo: Photo, mask: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """Region numbers at the photo's size; silhouette pixels left blank take the nearest region.

    Raises:
        HumanRefError: ``regions_unreadable``, ``regions_size``, ``regions_values``,
            ``regions_empty``, ``regions_elsewhere``.
    """
    values = decode_regions(_open(path, "regions"), path.name)
    regions = _at_photo_size(values, photo, path, "regions", cv2.INTER_NEAREST)
    if not (regions > 0).any():
        raise HumanRefError(
            "regions_empty", f"{path.name} marks no region at all.", "Paint at least one region."
        )
    labelled = float((regions[mask > 0.5] > 0).mean())
    if labelled < 0.5:
        raise HumanRefError(
            "regions_elsewhere",
            f"{path.name} gives a region to only {100 * labelled:.0f} % of the silhouette.",
            "Check that it belongs to this photo.",
        )
    return fill_from_nearest(regions, mask)


def read_caption(text: str) -> str:
    """The caption without line breaks; ``caption_empty`` when nothing is left."""
    caption = " ".join(text.split())
    if not caption:
        raise HumanRefError(
            "caption_empty", "The caption is empty.", "Describe the person, or leave it out."
        )
    return caption


def read_normals(
    path: Path, photo: Photo, *, back: bool
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """Unit normals in the body frame and where they are given (1) or not (0), photo size.

    Raises:
        HumanRefError: ``normals_unreadable``, ``normals_size``, ``normals_values`` when the pixels
            are not unit vectors or face away from their camera.
    """
    try:
        raw = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error) as error:
        raise _unreadable(path, "normals") from error
    if raw is None:
        raise _unreadable(path, "normals")
    if raw.ndim != 3 or raw.dtype not in (np.uint8, np.uint16):
        raise HumanRefError(
            "normals_values",
            f"{path.name} is not an RGB picture with 8 or 16 bits a channel.",
            "Store (normal + 1) / 2 as RGB.",
        )
    top = 255.0 if raw.dtype == np.uint8 else 65535.0
    values = raw.astype(np.float32) / np.float32(top)
    colors = _at_photo_size(values[..., 2::-1], photo, path, "normals", cv2.INTER_AREA)
    normals = colors * 2.0 - 1.0
    length = np.linalg.norm(normals, axis=-1)
    given = np.abs(length - 1.0) < 0.15
    if raw.shape[2] == 4:
        given &= _at_photo_size(values[..., 3], photo, path, "normals", cv2.INTER_AREA) > 0.5
    sign = -1.0 if back else 1.0
    facing = float((sign * normals[given][:, 2] > -0.1).mean()) if given.any() else 0.0
    if float(given.mean()) < 1e-3 or facing < 0.7:
        side = "back" if back else "front"
        raise HumanRefError(
            "normals_values",
            f"{path.name} is not a {side} normal map: its pixels are not unit vectors that face "
            f"the {side} camera.",
            "Store (normal + 1) / 2 as RGB in the body's frame: x to the person's left, y up, z "
            "out of the chest (in a back view z is below one half).",
        )
    unit = normals / np.maximum(length, 1e-6)[..., None]
    return unit.astype(np.float32), given.astype(np.float32)


def _open(path: Path, what: str) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise _unreadable(path, what) from error
    return image


def _unreadable(path: Path, what: str) -> HumanRefError:
    reason = "does not exist" if not path.exists() else "cannot be read as a picture"
    return HumanRefError(
        f"{what}_unreadable", f"The file {path} {reason}.", "Give a PNG of the photo's size."
    )


def _at_photo_size(
    values: np.ndarray, photo: Photo, path: Path, what: str, shrink: int
) -> np.ndarray:
    """The picture at the working size; only the photo's own two sizes are accepted."""
    height, width = photo.rgb.shape[:2]
    size = (values.shape[1], values.shape[0])
    if size == (width, height):
        return np.ascontiguousarray(values)
    if photo.source_size is not None and size == photo.source_size:
        return np.asarray(cv2.resize(values, (width, height), interpolation=shrink))
    wanted = photo.source_size or (width, height)
    raise HumanRefError(
        f"{what}_size",
        f"{path.name} is {size[0]} x {size[1]} pixels, but the photo is {wanted[0]} x {wanted[1]}.",
        "Save it at the photo's size.",
    )

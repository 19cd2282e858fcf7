"""People folded into what a step of training reads: 128-pixel views beside where their colours come from.

Made once from a ``make-people`` folder, one file a person; a step then maps a few megabytes into memory.
"""

from __future__ import annotations

import io
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from backend.errors import HumanRefError
from backend.events import OnEvent, Step
from backend.files import write_whole
from backend.guidance.correspondence import BodyPicture, PhotoIndex, PhotoPlaces, surround

SIDE = 128
STAGE = "pack"
# Counts up when packed files would come out differently.
_FORMAT = 1
# Pixels of the photo that surely show the person.
_SOLID = 0.8
# Photo places are kept as 16-bit numbers: 1/256 pixel steps from -64 on.
_SUBPIXEL, _SHIFT = 256.0, 64.0


@dataclass(frozen=True)
class Views:
    """Some views of one person (v of them), as training reads them.

    ``color`` is straight sRGB and coverage in [0, 1]; ``canonical`` is carried outwards and zero where
    ``near`` is False; ``places`` are the photo's pixels each view takes its colours from.
    """

    color: Float[np.ndarray, "v n n 4"]
    body_normal: Float[np.ndarray, "v n n 3"]
    canonical: Float[np.ndarray, "v n n 3"]
    region: UInt8[np.ndarray, "v n n"]
    near: Float[np.ndarray, "v n n"]
    places: tuple[PhotoPlaces, ...]
    azimuth: Float[np.ndarray, "v"]
    elevation: Float[np.ndarray, "v"]


class PackedPerson:
    """A packed file, of which only the views asked for are read."""

    def __init__(self, path: Path) -> None:
        angles = np.load(path.with_suffix(".angles.npy"))
        self.azimuth, self.elevation = angles[0], angles[1]
        self.path = path

    def __len__(self) -> int:
        """Number of views; view 0 is the photo."""
        return len(self.azimuth)

    def views(self, which: Sequence[int]) -> Views:
        """Read some views."""
        # Mapped for this moment only: a map holds a file open, and a set has more people than files that
        # a process may open.
        raw = np.asarray(np.load(self.path, mmap_mode="r")[list(which)])
        label = raw[..., 10]
        near = (label & 8) > 0
        words = raw[..., 11:15].astype(np.float32)
        xy = np.stack(
            [words[..., 0] * 256 + words[..., 1], words[..., 2] * 256 + words[..., 3]], -1
        )
        xy = xy / _SUBPIXEL - _SHIFT
        valid = (label & 16) > 0
        region = label & 7
        return Views(
            color=raw[..., :4].astype(np.float32) / 255.0,
            body_normal=(raw[..., 4:7] / np.float32(127.5) - 1.0) * (region > 0)[..., None],
            canonical=(raw[..., 7:10] / np.float32(127.5) - 1.0) * near[..., None],
            region=region,
            near=near.astype(np.float32),
            places=tuple(PhotoPlaces(a, b) for a, b in zip(xy, valid, strict=True)),
            azimuth=self.azimuth[list(which)],
            elevation=self.elevation[list(which)],
        )


def pack_people(
    people: Path,
    cache: Path,
    on_event: OnEvent,
    clock: Callable[[], float] = time.monotonic,
) -> list[PackedPerson]:
    """Every person of a folder of ``.npz`` samples, packed into ``cache`` where it is not there yet.

    Raises:
        HumanRefError: ``people_missing``, ``people_broken``, ``disk_full``, ``unwritable``.
    """
    found = sorted(people.glob("person_*.npz"))
    if not found:
        raise HumanRefError(
            "people_missing",
            f"{people} holds no people to learn from.",
            "Make some: humanref make-people ASSETS -o FOLDER --count 1000",
        )
    place = cache / f"format-{_FORMAT}"
    place.mkdir(parents=True, exist_ok=True)
    missing = [path for path in found if not (place / f"{path.stem}.npy").exists()]
    start = clock()
    for done, path in enumerate(missing):
        _pack(path, place / f"{path.stem}.npy")
        each = (clock() - start) / (done + 1)
        on_event(Step(STAGE, done + 1, len(missing), each * (len(missing) - done - 1)))
    return [PackedPerson(place / f"{path.stem}.npy") for path in found]


@dataclass(frozen=True)
class PeopleSplit:
    """Packed people by what they are for; no outfit, hair or fabric is in both."""

    train: tuple[PackedPerson, ...]
    validation: tuple[PackedPerson, ...]


def pack_folders(folders: Sequence[Path], cache: Path, on_event: OnEvent) -> PeopleSplit:
    """All people of several ``make-people`` folders, in the folders' order.

    Raises:
        HumanRefError: see :func:`pack_people`.
    """
    train: list[PackedPerson] = []
    validation: list[PackedPerson] = []
    for number, folder in enumerate(folders):
        place = cache / str(number)
        train += pack_people(folder / "train", place / "train", on_event)
        validation += pack_people(folder / "validation", place / "validation", on_event)
    return PeopleSplit(tuple(train), tuple(validation))


def _pack(path: Path, target: Path) -> None:
    try:
        with np.load(path) as file:
            content = {
                name: file[name]
                for name in (
                    *("color", "body_normal", "canonical", "region"),
                    *("azimuth", "elevation"),
                )
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise HumanRefError(
            "people_broken",
            f"{path} is not a whole person ({error}).",
            "Delete it and run make-people again: it makes what is missing.",
        ) from error
    color = _shrink_color(content["color"], path)
    step = content["region"].shape[1] // SIDE
    region = content["region"][:, ::step, ::step]
    canonical = content["canonical"][:, ::step, ::step]
    normal = content["body_normal"][:, ::step, ::step]
    bodies = [
        BodyPicture(n / 127.5 - 1.0, (c / 127.5 - 1.0) * (r > 0)[..., None], r)
        for n, c, r in zip(normal, canonical, region, strict=True)
    ]
    index = PhotoIndex(bodies[0], color[0, ..., 3] > _SOLID * 255)
    views = []
    for k, body in enumerate(bodies):
        around = surround(body)
        places = index.look_up(around, float(content["azimuth"][k]))
        label = body.region | (around.near * np.uint8(8)) | (places.valid * np.uint8(16))
        carried = ((around.canonical + 1.0) * 127.5).round() * around.near[..., None]
        words = ((places.xy + _SHIFT) * _SUBPIXEL).round().clip(0, 65535).astype(np.uint16)
        views.append(
            np.concatenate(
                [
                    *(color[k], normal[k], carried.astype(np.uint8), label[..., None]),
                    np.stack([words[..., 0] >> 8, words[..., 0] & 255], -1).astype(np.uint8),
                    np.stack([words[..., 1] >> 8, words[..., 1] & 255], -1).astype(np.uint8),
                ],
                -1,
            )
        )
    angles = np.stack([content["azimuth"], content["elevation"]]).astype(np.float32)
    write_whole(target.with_suffix(".angles.npy"), _as_npy(angles))
    write_whole(target, _as_npy(np.stack(views)))


def _shrink_color(color: UInt8[np.ndarray, "v h w 4"], path: Path) -> UInt8[np.ndarray, "v n n 4"]:
    """Coverage-weighted means, straight colours."""
    views, side = color.shape[:2]
    if side % SIDE:
        raise HumanRefError(
            "people_size",
            f"The pictures of {path} are {side} pixels wide; training needs {SIDE} or a multiple.",
            f"Make people with --size {SIDE} or --size {2 * SIDE}.",
        )
    step = side // SIDE
    blocks = color.reshape(views, SIDE, step, SIDE, step, 4).astype(np.float64)
    share = blocks[..., 3:] / 255.0
    total = share.sum((2, 4))
    mean = (blocks[..., :3] * share).sum((2, 4)) / np.maximum(total, 1e-9)
    alpha = total / step**2 * 255.0
    return np.asarray(np.concatenate([mean, alpha], -1).round().clip(0, 255).astype(np.uint8))


def _as_npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()

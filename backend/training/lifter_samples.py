"""What a landmark detector sees of synthetic people whose poses are known."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
from jaxtyping import Float, Float16, Int, UInt8

from backend.body.model import BodyModel
from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from backend.events import OnEvent, Step
from backend.files import write_whole
from backend.fitting.evidence import without_camera_pitch
from backend.fitting.lifting import BONES, LandmarkPose, landmark_pose
from backend.fitting.picture_cues import mirrored_body, picture_cues
from backend.geometry.cameras import OrthographicCamera
from backend.perception.landmarks import FROM_MEDIAPIPE
from backend.perception.mediapipe_models import MediapipeModels
from backend.training.casting import cast, random_for
from backend.training.lifter_training import LifterSamples
from backend.training.normal_people import FORMAT, MANIFEST, TURN, NormalPeople
from backend.training.normal_samples import photo_direction
from backend.training.photo_spoiling import Backdrop, spoil_colors, spoil_mask
from backend.training.wardrobe import Split, Wardrobe
from shared_protocol.skeleton import JOINT_INDEX

STAGE = "landmarks"
SAMPLES = "samples.npz"
PICTURE = 512
_BORDER = 30
_BACKDROP = (0.75, 0.77, 0.78)
_SAVED_EVERY = 400
# Apart from what the casting and the photo were drawn with.
_CUES_SEED = 5_000_011


@dataclass(frozen=True)
class SeenPeople:
    """Samples, and whose they are."""

    samples: LifterSamples
    number: Int[np.ndarray, "b"]
    """Entry of the set of people."""

    def of(self, split: Split, people: NormalPeople) -> LifterSamples:
        """Those of one split, which share no outfit, hair or fabric with the other's."""
        mine = np.array([its_split == split for _, its_split, _ in people.entries()])
        return self.samples.take(mine[self.number])


def read_people(folder: Path, assets: str) -> NormalPeople:
    """The set that `humanref train-normals` made in ``folder``.

    Args:
        folder: its ``people`` folder.
        assets: digest of the assets that castings will be drawn from.

    Raises:
        HumanRefError: ``people_missing`` for a folder that is none, is not finished, or was made
            from other assets or by another version.
    """
    try:
        told = json.loads((folder / MANIFEST).read_text("utf-8"))
        people = NormalPeople(told["count"], told["seed"], told["size"])
        same = told["format"] == FORMAT and told["assets"] == assets
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_people(folder, "it has no readable people.json") from error
    if not same:
        raise _no_people(folder, "its people were made by another version or from other assets")
    missing = [name for name, _, _ in people.entries() if not (folder / name).exists()]
    if missing:
        raise _no_people(folder, f"{missing[0]} is missing, and {len(missing) - 1} others")
    return people


def _no_people(folder: Path, why: str) -> HumanRefError:
    return HumanRefError(
        "people_missing",
        f"{folder} is not a finished folder of people: {why}.",
        "Make it with humanref train-normals ASSETS -o DIR; it is DIR/people.",
    )


def see_people(
    folder: Path,
    people: NormalPeople,
    wardrobe: Wardrobe,
    body: BodyModel,
    kept: Path,
    on_event: OnEvent,
    clock: Callable[[], float] = time.monotonic,
) -> SeenPeople:
    """Show every person's photo to the detector; those it finds nobody in are left out.

    What was seen stands in ``kept``, now and then also on the way: the same call goes on there, and so
    does one with more of the same people.

    Raises:
        HumanRefError: ``output_exists`` where ``kept`` tells of other people; ``disk_full``,
            ``unwritable``, ``write_failed``.
    """
    entries, whose = people.entries(), _whose(folder, people)
    seen, looked = _read_samples(kept, whose)
    if looked > len(entries):
        raise _other_people(kept)
    start, begun = clock(), looked
    with MediapipeModels() as models:
        while looked < len(entries):
            name, split, number = entries[looked]
            photo = _photo(folder / name)
            found = models.holistic(detector_picture(photo))
            if found is not None:
                casting = cast(wardrobe, seed=people.seed, split=split, number=number, turn=TURN)
                azimuth, _ = photo_direction(people.seed, split, number)
                world = (found.body_world * FROM_MEDIAPIPE).astype(np.float64)
                upright = without_camera_pitch(world, np.ones(len(world)))
                pose = landmark_pose(found.body[:, :2].astype(np.float64), upright)
                if pose is not None:
                    rng = random_for(people.seed + _CUES_SEED, split, number)
                    cues = spoiled_cues(photo, found.body[:, :2].astype(np.float64), rng)
                    slopes = true_slopes(casting.pose, azimuth, body)
                    seen.append((looked, pose, cues, slopes))
            looked += 1
            each = (clock() - start) / (looked - begun)
            done = looked == len(entries)
            if done or looked % _SAVED_EVERY == 0:
                _write_samples(kept, seen, looked, whose)
            on_event(Step(STAGE, looked, len(entries), each * (len(entries) - looked)))
    return _gathered(seen)


def _photo(file: Path) -> UInt8[np.ndarray, "n n 4"]:
    with np.load(file) as data:
        return np.asarray(data["color"], np.uint8)


def detector_picture(color: UInt8[np.ndarray, "n n 4"]) -> UInt8[np.ndarray, "m m 3"]:
    """A cut-out person on a plain backdrop, at a size that the detector likes."""
    straight = color.astype(np.float32) / 255.0
    alpha = straight[..., 3:]
    mixed = straight[..., :3] * alpha + np.array(_BACKDROP, np.float32) * (1.0 - alpha)
    size = (PICTURE, PICTURE)
    large = cv2.resize((mixed * 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
    plain = tuple(round(255 * channel) for channel in _BACKDROP)
    border = (_BORDER, _BORDER, _BORDER, _BORDER)
    return np.asarray(cv2.copyMakeBorder(large, *border, cv2.BORDER_CONSTANT, value=plain))


def spoiled_cues(
    color: UInt8[np.ndarray, "n n 4"],
    body: Float[np.ndarray, "33 2"],
    rng: np.random.Generator,
) -> Float16[np.ndarray, "2 29 152"]:
    """Cues of the picture and of its mirror image, each as a real photo and silhouette would be.

    Args:
        body: landmarks, in pixels of :func:`detector_picture`; hips and shoulders lie apart.
    """
    n = len(color)
    straight = color.astype(np.float32) / np.float32(255.0)
    own = (body - _BORDER) * (n / PICTURE)
    found = []
    for mirrored in (False, True):
        picture = straight[:, ::-1] if mirrored else straight
        alpha = np.ascontiguousarray(picture[..., 3])
        behind = Backdrop.sample(rng).draw(n)
        rgb = spoil_colors(
            picture[..., :3] * alpha[..., None] + behind * (1 - alpha[..., None]), rng
        )
        cues = picture_cues(rgb, spoil_mask(alpha, rng), mirrored_body(own, n) if mirrored else own)
        assert cues is not None
        found.append(cues.astype(np.float16))
    return np.stack(found)


def true_slopes(
    full_pose: Float[np.ndarray, "55 3"], azimuth: float, body: BodyModel
) -> Float[np.ndarray, "10"]:
    """Slopes of :data:`BONES`, as an upright camera at ``azimuth`` sees them; of any shape the same.

    Upright, because a fit takes a camera's pitch out of the landmarks first.
    """
    pose = BodyPose(np.zeros(body.n_betas), full_pose, np.zeros(3), model=body.name)
    seen = body.pose(pose).joints.astype(np.float64) @ OrthographicCamera(azimuth).axes().T
    ends = np.array([[JOINT_INDEX[name] for name in bone] for bone in BONES])
    along = seen[ends[:, 1]] - seen[ends[:, 0]]
    return np.asarray(along[:, 2] / np.linalg.norm(along, axis=1))


_Seen = list[tuple[int, LandmarkPose, Float16[np.ndarray, "2 29 152"], Float[np.ndarray, "10"]]]


def _gathered(seen: _Seen) -> SeenPeople:
    return SeenPeople(
        LifterSamples(
            LandmarkPose(
                np.stack([pose.flat for _, pose, _, _ in seen]),
                np.stack([pose.world for _, pose, _, _ in seen]),
            ),
            np.stack([cues for _, _, cues, _ in seen]),
            np.stack([slopes for _, _, _, slopes in seen]),
        ),
        np.array([number for number, _, _, _ in seen]),
    )


def _whose(folder: Path, people: NormalPeople) -> str:
    """What tells these people from others, however many of them there are."""
    manifest = folder / MANIFEST
    told = json.loads(manifest.read_text("utf-8")) if manifest.is_file() else {}
    return json.dumps({**told, **asdict(people), "count": 0}, sort_keys=True)


def _other_people(kept: Path) -> HumanRefError:
    return HumanRefError(
        "output_exists",
        f"{kept} tells of other people than those.",
        "Choose another output folder.",
    )


def _write_samples(file: Path, seen: _Seen, looked: int, whose: str) -> None:
    arrays: dict[str, Any] = {"looked": np.array(looked), "whose": np.array(whose)}
    if seen:
        all_of = _gathered(seen)
        pose = all_of.samples.pose
        arrays |= {"flat": pose.flat, "world": pose.world}
        arrays |= {"cues": all_of.samples.cues}
        arrays |= {"slopes": all_of.samples.slopes, "number": all_of.number}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(file, buffer.getvalue())


def _read_samples(file: Path, whose: str) -> tuple[_Seen, int]:
    if not file.is_file():
        return [], 0
    try:
        with np.load(file) as data:
            looked = int(data["looked"])
            if str(data["whose"]) != whose:
                raise _other_people(file)
            if "flat" not in data:
                return [], looked
            names = ("number", "flat", "world", "cues", "slopes")
            rows = zip(*(data[name] for name in names), strict=True)
            return [(int(n), LandmarkPose(f, w), c, s) for n, f, w, c, s in rows], looked
    except (ValueError, KeyError, OSError, BadZipFile):
        # Half a file of another program: look again.
        return [], 0

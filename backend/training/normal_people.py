"""The normal estimator's people: a folder of samples, continued where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.errors import HumanRefError
from backend.events import OnEvent, Step
from backend.files import write_error, write_whole
from backend.training.base_body import BaseBody
from backend.training.body_fit import BodyFitter
from backend.training.casting import cast
from backend.training.dressing import dress
from backend.training.normal_samples import BYTES_PER_PIXEL, make_normal_sample
from backend.training.wardrobe import Split, Wardrobe

MANIFEST = "people.json"
STAGE = "people"
FORMAT = 3
"""Counts up when the same seed makes other people or files."""

TURN = 0.16
"""Standard deviation of how far a person is turned from the photo's camera, radians."""
_VALIDATION_EVERY = 12
_FIRST = 200_000
"""Subjects of an evaluation take the low numbers, make-people's training sets those from 100 000."""


@dataclass(frozen=True)
class NormalPeople:
    """Which people; equal settings make equal files."""

    count: int
    seed: int
    size: int
    """Pixels along an edge."""

    def names(self, split: Split) -> list[str]:
        """Files of a split, relative to the folder; the splits share no outfit, hair or fabric."""
        return [name for name, its_split, _ in self.entries() if its_split == split]

    def entries(self) -> list[tuple[str, Split, int]]:
        """File, split and number of every person, in the order they are made."""
        made: list[tuple[str, Split, int]] = []
        for number in range(self.count):
            held = number % _VALIDATION_EVERY == _VALIDATION_EVERY - 1
            split: Split = "validation" if held else "train"
            made.append((f"{split}_{number:05d}.npz", split, _FIRST + number))
        return made

    def needed_bytes(self) -> int:
        """Disk space of all samples."""
        return self.count * (BYTES_PER_PIXEL * self.size**2 + 2_000)


def open_people(folder: Path, settings: NormalPeople, assets: str) -> None:
    """Make the folder ready for people made from ``assets`` (a digest): new, or the same again.

    A larger ``count`` than before keeps the people that are there.

    Raises:
        HumanRefError: ``output_exists`` when it holds anything else; ``unwritable``, ``disk_full``.
    """
    manifest = folder / MANIFEST
    wanted = {"format": FORMAT, "assets": assets, **asdict(settings)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob(".humanref-*"):
            torn.unlink()
        before = json.loads(manifest.read_text("utf-8")) if manifest.is_file() else None
        taken = before is None and any(folder.iterdir())
    except OSError as error:
        raise write_error(error, folder) from error
    except ValueError:
        before, taken = None, True
    if taken or (before is not None and {**before, "count": 0} != {**wanted, "count": 0}):
        raise HumanRefError(
            "output_exists",
            f"{folder} holds something other than the people asked for.",
            "Choose another folder, or give the seed, size and assets that it was begun with.",
        )
    if before != wanted:
        write_whole(manifest, (json.dumps(wanted, indent=1) + "\n").encode())


def make_normal_people(
    folder: Path,
    settings: NormalPeople,
    wardrobe: Wardrobe,
    base: BaseBody,
    fitter: BodyFitter,
    on_event: OnEvent,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Make every person that is not there yet; the number made. Stopped, it leaves whole people.

    Raises:
        HumanRefError: ``asset_broken``, ``disk_full``, ``unwritable``, ``write_failed``.
    """
    everyone = settings.entries()
    start, made = clock(), 0
    for done, (name, split, number) in enumerate(everyone):
        place = folder / name
        if place.exists():
            continue
        casting = cast(wardrobe, seed=settings.seed, split=split, number=number, turn=TURN)
        person = dress(base, wardrobe, casting)
        data = make_normal_sample(
            person, fitter, seed=settings.seed, split=split, number=number, size=settings.size
        )
        write_whole(place, data)
        made += 1
        each = (clock() - start) / made
        on_event(Step(STAGE, done + 1, len(everyone), each * (len(everyone) - done - 1)))
    return made

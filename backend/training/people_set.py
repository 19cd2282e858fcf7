"""A folder of synthetic people: made one by one, each whole or not there, continued where it stopped."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.errors import HumanRefError
from backend.events import OnEvent, Step
from backend.files import write_error, write_whole
from backend.training.base_body import BaseBody
from backend.training.body_fit import BodyFitter
from backend.training.casting import cast
from backend.training.dressing import dress
from backend.training.samples import BYTES_PER_PIXEL, VIEWS, make_sample
from backend.training.subjects import subject_files
from backend.training.wardrobe import Split, Wardrobe

MANIFEST = "people.json"
FORMAT = 2
"""Counts up when the same seed makes other people or files."""
STAGE = "people"

VALIDATION_EVERY = 10
"""Every tenth person of a training set is a validation person."""
_SUBJECT_BYTES = 8_000_000
_COMPRESSION = 0.2
"""Upper estimate of what compression leaves of a sample (measured: 0.10 to 0.15)."""
_TURN = 0.12
"""Standard deviation of how far a person is turned from the photo's camera, radians."""


@dataclass(frozen=True)
class PeopleSettings:
    """What makes a set of people what it is; two runs with equal settings make equal files."""

    count: int
    seed: int
    size: int
    """Pixels along an edge of a training picture (subjects have the fixed sizes of their layout)."""
    evaluation: bool


@dataclass(frozen=True)
class Entry:
    """One person of a set."""

    split: Split
    number: int
    name: str
    """Of the ``.npz``, or of a subject's folder, relative to the set's."""


def entries(settings: PeopleSettings) -> Iterator[Entry]:
    """All people of a set, in the order they are made."""
    for number in range(settings.count):
        if settings.evaluation:
            yield Entry("validation", number, f"subject_{number:03d}")
        else:
            held = number % VALIDATION_EVERY == VALIDATION_EVERY - 1
            split: Split = "validation" if held else "train"
            # Subjects take the low numbers of the validation people: none is tuned on.
            yield Entry(split, 100_000 + number, f"{split}/person_{number:05d}.npz")


def needed_bytes(settings: PeopleSettings) -> int:
    """Disk space of a whole set, a little too much rather than too little."""
    if settings.evaluation:
        return settings.count * _SUBJECT_BYTES
    pixels = VIEWS * settings.size**2
    return int(settings.count * (pixels * BYTES_PER_PIXEL * _COMPRESSION + 20_000))


def assets_digest(wardrobe: Wardrobe) -> str:
    """SHA-256 over names and sizes of all assets: another folder makes other people."""
    digest = hashlib.sha256()
    for path in sorted(wardrobe.folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(wardrobe.folder).as_posix()
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()


def open_set(folder: Path, settings: PeopleSettings, digest: str, *, force: bool) -> None:
    """Make the folder ready: new, continued when it is the same set, emptied with ``force``.

    Only what an earlier run listed is ever removed.

    Raises:
        HumanRefError: ``output_exists``, ``unwritable``, ``disk_full``, ``write_failed``.
    """
    manifest = folder / MANIFEST
    wanted = {"format": FORMAT, "assets": digest, **asdict(settings)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        if manifest.is_file():
            before = _read(manifest)
            if before == wanted:
                return
            if not force or before is None:
                raise _taken(folder, "holds other people")
            _remove(folder, before)
        elif any(folder.iterdir()):
            raise _taken(folder, "is not empty and was not made by make-people", force_helps=False)
    except OSError as error:
        raise write_error(error, folder) from error
    write_whole(manifest, (json.dumps(wanted, indent=1) + "\n").encode())


def _read(manifest: Path) -> dict[str, object] | None:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _taken(folder: Path, why: str, *, force_helps: bool = True) -> HumanRefError:
    hint = "Choose another folder"
    hint += ", or add --force to replace them." if force_helps else "."
    return HumanRefError("output_exists", f"{folder} {why}.", hint)


def _remove(folder: Path, before: dict[str, object]) -> None:
    """Delete the people that an earlier manifest stands for."""
    (folder / MANIFEST).unlink()
    old = PeopleSettings(
        count=int(str(before.get("count", 0))),
        seed=0,
        size=0,
        evaluation=bool(before.get("evaluation")),
    )
    for entry in entries(old):
        place = folder / entry.name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    for split in ("train", "validation"):
        with suppress(OSError):
            (folder / split).rmdir()


def _sweep(folder: Path) -> None:
    """Remove what a killed run was about to finish."""
    for place in (folder, folder / "train", folder / "validation"):
        for left in place.glob(".humanref-*"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


def make_people(
    folder: Path,
    settings: PeopleSettings,
    wardrobe: Wardrobe,
    base: BaseBody,
    fitter: BodyFitter | None,
    on_event: OnEvent,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Make every person that is not there yet; the number made.

    Stopping it at any time leaves whole people only; called again, it goes on after them.

    Raises:
        HumanRefError: ``asset_broken``, ``disk_full``, ``unwritable``, ``write_failed``.
    """
    wanted = list(entries(settings))
    missing = [entry for entry in wanted if not (folder / entry.name).exists()]
    start = clock()
    for done, entry in enumerate(missing):
        seed, split, number = settings.seed, entry.split, entry.number
        casting = cast(wardrobe, seed=seed, split=split, number=number, turn=_TURN)
        person = dress(base, wardrobe, casting)
        place = folder / entry.name
        if settings.evaluation:
            _write_folder(place, subject_files(person, seed=seed, split=split, number=number))
        else:
            assert fitter is not None
            data = make_sample(
                person, fitter, seed=seed, split=split, number=number, size=settings.size
            )
            try:
                place.parent.mkdir(exist_ok=True)
            except OSError as error:
                raise write_error(error, place) from error
            write_whole(place, data)
        each = (clock() - start) / (done + 1)
        step = len(wanted) - len(missing) + done + 1
        on_event(Step(STAGE, step, len(wanted), each * (len(missing) - done - 1)))
    return len(missing)


def _write_folder(place: Path, files: Iterator[tuple[str, bytes]]) -> None:
    """A subject's folder under a temporary name, renamed when whole."""
    temporary = place.with_name(f".humanref-{secrets.token_hex(8)}")
    try:
        temporary.mkdir()
        for name, data in files:
            path = temporary / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        temporary.rename(place)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise write_error(error, place) from error
        raise

"""Which people a prior is trained on: counted before any work, and the same when a run goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.errors import HumanRefError
from backend.files import write_error, write_whole
from backend.training.people_set import MANIFEST, VALIDATION_EVERY

PACKED = "packed"
"""Folder inside a run's own that holds the packed people."""
_SOURCES = "sources.json"


@dataclass(frozen=True)
class PeopleSource:
    """One ``make-people`` folder."""

    train: int
    """People to learn from."""
    validation: int
    """People in outfits, hair and fabrics of their own, to measure with."""
    digest: str
    """SHA-256 of names and sizes of all samples."""
    made_with: str | None
    """The options of ``make-people``; None where its own list is missing."""


def find_sources(folders: Sequence[Path]) -> tuple[PeopleSource, ...]:
    """Count the people of each folder.

    Raises:
        HumanRefError: ``people_missing`` for a folder without people of both kinds, or no folder.
    """
    if not folders:
        raise HumanRefError(
            "people_missing",
            "No folder of people was given to learn from.",
            "Name one or more that humanref make-people made.",
        )
    return tuple(_find(folder) for folder in folders)


def claim_sources(output: Path, sources: Sequence[PeopleSource]) -> None:
    """Note in a run's folder whom it learns from; the same people may come again.

    Raises:
        HumanRefError: ``people_other``, ``disk_full``, ``unwritable``, ``write_failed``.
    """
    note = output / PACKED / _SOURCES
    wanted = (json.dumps([asdict(source) for source in sources], indent=1) + "\n").encode()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        if note.is_file():
            if note.read_bytes() == wanted:
                return
            raise HumanRefError(
                "people_other",
                f"{output} was begun with other people.",
                "Give the same folders in the same order, or another output folder.",
            )
    except OSError as error:
        raise write_error(error, note) from error
    write_whole(note, wanted)


def _find(folder: Path) -> PeopleSource:
    found = {
        split: sorted((folder / split).glob("person_*.npz")) for split in ("train", "validation")
    }
    for split, files in found.items():
        if not files:
            what = "to learn from" if split == "train" else "to measure with"
            raise HumanRefError(
                "people_missing",
                f"{folder} holds no people {what} ({split}/person_*.npz).",
                f"Make {VALIDATION_EVERY} or more: humanref make-people ASSETS -o FOLDER --count 1000",
            )
    digest = hashlib.sha256()
    for split, files in found.items():
        for file in files:
            digest.update(f"{split}/{file.name}\0{file.stat().st_size}\0".encode())
    return PeopleSource(
        len(found["train"]), len(found["validation"]), digest.hexdigest(), _options(folder)
    )


def _options(folder: Path) -> str | None:
    try:
        made = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return f"--count {made['count']} --seed {made['seed']} --size {made['size']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None

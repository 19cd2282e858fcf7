"""Checkpoints of a fit: written whole or not at all, refused when they belong to something else."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backend.errors import HumanRefError

FORMAT = 3


@dataclass(frozen=True)
class Checkpoint:
    """The state of a fit after ``step`` steps."""

    fingerprint: str
    """Digest of everything that must be equal for a resume: photo, pose, settings."""
    step: int
    field: dict[str, Any]
    optimizer: dict[str, Any]
    generator: torch.Tensor
    sampler: dict[str, Any]
    """The sampler's cached SDF, as old as it was."""
    seconds: float
    """Time spent in the loop so far."""
    guidance: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What a guidance of whole pictures has gathered: view bank, learned networks."""
    guard: dict[str, Any] = dataclasses.field(default_factory=dict)
    """The loss scale, and the steps that were skipped."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write to a temporary name, then rename.

    Raises:
        HumanRefError: ``disk_full`` or ``checkpoint_unwritable``.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            torch.save({"format": FORMAT, **vars(checkpoint)}, stream)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        if error.errno == errno.ENOSPC:
            raise HumanRefError(
                "disk_full",
                f"The disk is full: the checkpoint {path.name} could not be written.",
                "Free some space and run again; an earlier checkpoint is kept.",
                retryable=True,
            ) from error
        raise HumanRefError(
            "checkpoint_unwritable",
            f"The checkpoint {path} could not be written ({error}).",
            "Choose an output in a folder that you may write to.",
        ) from error


def load_checkpoint(path: Path, fingerprint: str) -> Checkpoint:
    """Read a checkpoint of the same photo, pose and settings.

    Raises:
        HumanRefError: ``checkpoint_missing``, ``checkpoint_unreadable`` or ``checkpoint_mismatch``.
    """
    if not path.is_file():
        raise HumanRefError(
            "checkpoint_missing",
            f"There is no checkpoint {path} to resume from.",
            "Run without --resume to start afresh.",
        )
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        if data.pop("format") != FORMAT:
            raise ValueError("another version")
        checkpoint = Checkpoint(**data)
    except Exception as error:
        raise HumanRefError(
            "checkpoint_unreadable",
            f"The checkpoint {path} cannot be read ({type(error).__name__}).",
            "Delete it and run without --resume.",
        ) from error
    if checkpoint.fingerprint != fingerprint:
        raise HumanRefError(
            "checkpoint_mismatch",
            f"The checkpoint {path} belongs to another photo, pose or other settings.",
            "Use the same command as before, or run without --resume.",
        )
    return checkpoint

"""Finished results on disk, so that an evaluation goes on where it was stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

import backend
from backend.evaluation.dataset import AZIMUTHS, subject_files
from backend.evaluation.methods import Method
from backend.export.pictures import write_picture
from backend.files import write_error, write_whole
from backend.guidance.compact_files import INDEX, SHIPPED
from backend.run_report import InputFile, json_types
from backend.settings import GenerateSettings, PriorSettings

VERSION = 1
"""Raised whenever a metric changes its meaning: older results are then computed again."""
TILE = 256


@dataclass(frozen=True)
class Finished:
    """What is kept of one method on one subject."""

    metrics: dict[str, Any]
    strip: Path
    """Picture of the views side by side, each :data:`TILE` pixels wide, over light grey."""


def subject_digest(folder: Path) -> str:
    """SHA-256 over every file of a subject."""
    digests = [InputFile.of(folder / name).sha256 for name in subject_files()]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def fingerprint(method: Method, settings: GenerateSettings, subject: str) -> str:
    """Names everything that a result depends on; equal for methods that are one and the same run."""
    parts = {
        "version": VERSION,
        "code": code_digest(Path(backend.__file__).parent),
        "fits": method.fits,
        "settings": json_types(dataclasses.asdict(settings)) if method.fits else None,
        "subject": subject,
        "prior": _prior(settings.prior) if method.reads_prior(settings) else None,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def code_digest(package: Path) -> str:
    """SHA-256 over a package's modules and over what tells one set of its weights from another."""
    files = [*package.rglob("*.py"), *package.rglob("weights/**/*.json")]
    digests = [f"{InputFile.of(file).sha256} {file.relative_to(package)}" for file in sorted(files)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _prior(settings: PriorSettings) -> str | None:
    """SHA-256 of the index of a prior in a folder: one that is trained again there is another prior."""
    index = (settings.folder or SHIPPED) / INDEX
    if settings.repo is not None or not index.is_file():
        return None
    return InputFile.of(index).sha256


class ResultStore:
    """``<output>/results/<subject>/<method>/{metrics.json, views.png}``; metrics.json comes last, so a
    result with one is whole."""

    def __init__(self, output: Path) -> None:
        self._root = output / "results"

    def load(self, subject: str, method: str, key: str) -> Finished | None:
        """A finished result with this fingerprint, or None."""
        folder = self._root / subject / method
        try:
            content = json.loads((folder / "metrics.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        known = isinstance(content, dict) and isinstance(content.get("metrics"), dict)
        if not known or content.get("fingerprint") != key:
            return None
        strip = folder / "views.png"
        return Finished(content["metrics"], strip) if strip.is_file() else None

    def save(
        self,
        subject: str,
        method: str,
        key: str,
        metrics: Mapping[str, Any],
        strip: Float[np.ndarray, "h w 3"],
    ) -> Finished:
        """Keep a result.

        Raises:
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
        """
        folder = self._root / subject / method
        plain = json_types(metrics)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A result that is being replaced must not pass for whole meanwhile.
            (folder / "metrics.json").unlink(missing_ok=True)
        except OSError as error:
            raise write_error(error, folder) from error
        write_picture(folder / "views.png", strip)
        text = json.dumps({"fingerprint": key, "metrics": plain}, indent=1, allow_nan=False)
        write_whole(folder / "metrics.json", (text + "\n").encode())
        return Finished(plain, folder / "views.png")


def read_strip(path: Path) -> Float[np.ndarray, "h w 3"]:
    """The picture of :attr:`Finished.strip`, sRGB in [0, 1]."""
    with Image.open(path) as picture:
        pixels: np.ndarray = np.asarray(picture.convert("RGB"), np.float32) / np.float32(255)
    assert pixels.shape[1] == TILE * len(AZIMUTHS)
    return pixels

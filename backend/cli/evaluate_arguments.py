"""What ``humanref evaluate`` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from backend.cli.fields import Flag, optional
from backend.evaluation.methods import Named
from backend.settings import Device, Preset


@dataclass(frozen=True)
class Evaluate:
    """Judge methods against subjects whose true shape and colours are known.

    Example: humanref evaluate people -o report --methods all --preset draft
    """

    dataset: Annotated[Positional[Path], arg(name="dataset", metavar="DATASET")]
    """Folder of subjects: each photo.png, views/, mesh.ply and body.json."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """report.json, report.md, sheet.png; the same command again goes on where it was stopped."""
    methods: Annotated[tuple[Named, ...], arg(aliases=["--method"])] = ("standard",)
    """standard: as generate without options; all: with every baseline; ablations: one part left out."""
    prior: Annotated[str | None, optional("FOLDER")] = None
    """Instead of the prior that ships: a folder of Stable Diffusion 1.x or of train-prior, or a hub id."""
    limit: Annotated[int | None, optional("N")] = None
    """Only the first N subjects, by name."""
    preset: Preset = "standard"
    """draft: a quick look; standard: the usual; paper: the paper's schedule."""
    steps: Annotated[int | None, optional("N")] = None
    """Optimisation steps, instead of the preset's."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Same seed, same machine, same numbers."""
    device: Device = "auto"
    """auto takes a GPU where one answers."""
    fresh: Flag = False
    """Compute again what is finished."""
    json: Flag = False
    """Print one JSON object on stdout; progress goes to stderr."""

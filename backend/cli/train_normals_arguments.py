"""Arguments of ``humanref train-normals``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from backend.cli.fields import Flag
from backend.settings import Device


@dataclass(frozen=True)
class TrainNormals:
    """Train the compact normal estimator on synthetic people, which it makes first.

    Example: humanref train-normals ASSETS -o normals
    """

    assets: Annotated[Positional[Path], arg(name="assets", metavar="ASSETS")]
    """Folder of MakeHuman's CC0 assets: clothes, hair, eyebrows, eyelashes, eyes."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder for people, checkpoint, sheets and weights; the same command again goes on."""
    people: Annotated[int, arg(metavar="N")] = 3000
    """How many people; every twelfth is kept for validation."""
    steps: Annotated[int, arg(metavar="N")] = 3000
    """Updates of the network."""
    batch: Annotated[int, arg(metavar="N")] = 6
    """People an update."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Same seed, same assets, same people; on the same kind of CPU the same weights."""
    device: Annotated[Device, arg(metavar="NAME")] = "auto"
    """auto, cpu or cuda."""
    threads: Annotated[int, arg(metavar="N")] = 0
    """CPU threads; 0 = as many as there are cores."""
    half: Flag = False
    """Convolutions in bfloat16: faster on processors that have it, a little less exact."""
    json: Flag = False
    """Print one JSON object on stdout; progress goes to stderr."""

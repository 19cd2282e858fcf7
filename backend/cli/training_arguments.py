"""Arguments of the commands that make people and train on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from backend.cli.fields import Flag
from backend.settings import Device


@dataclass(frozen=True)
class MakePeople:
    """Make synthetic clothed people to train on or, with --evaluation, to measure with.

    Example: humanref make-people ASSETS -o people --count 1000
    """

    assets: Annotated[Positional[Path], arg(name="assets", metavar="ASSETS")]
    """Folder of MakeHuman's CC0 assets: clothes, hair, eyebrows, eyelashes, eyes."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder to make; the same command again continues a run that was stopped."""
    count: Annotated[int, arg(metavar="N")]
    """How many people."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Same seed, same assets, same people."""
    size: Annotated[int, arg(metavar="N")] = 128
    """Side of a training picture in pixels."""
    evaluation: Flag = False
    """Subjects with photo, views and surface as `humanref evaluate` reads them, in outfits, hair and
    fabrics that no training person wears."""
    force: Flag = False
    """Replace other people that an earlier make-people put into the folder."""
    json: Flag = False
    """Print one JSON object on stdout; progress goes to stderr."""


@dataclass(frozen=True)
class TrainPrior:
    """Train the compact diffusion prior on synthetic people, and write it with a model card.

    Example: humanref train-prior people0 people1 -o run; then humanref generate --prior run/prior
    """

    people: Annotated[Positional[tuple[Path, ...]], arg(name="people", metavar="PEOPLE")]
    """Folders that make-people made (--size 128 or 256), read in this order."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder for packed people, checkpoint, sample sheets and the finished prior; the same command again
    goes on where it stopped."""
    steps: Annotated[int, arg(metavar="N")] = 4500
    """Steps of the whole run; a finished run goes on when more are asked for."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Same seed, same people, same kind of CPU, same weights."""
    device: Annotated[Device, arg(metavar="NAME")] = "auto"
    """auto, cpu or cuda."""
    threads: Annotated[int, arg(metavar="N")] = 0
    """CPU threads; 0 = as many as there are cores."""
    json: Flag = False
    """Print one JSON object on stdout; progress goes to stderr."""


@dataclass(frozen=True)
class TrainLifting:
    """Train the networks that tell a pose's depth from its landmarks, on the people of train-normals.

    Example: humanref train-lifting ASSETS normals/people -o lifting
    """

    assets: Annotated[Positional[Path], arg(name="assets", metavar="ASSETS")]
    """Folder of MakeHuman's CC0 assets that the people were made from."""
    people: Annotated[Positional[Path], arg(name="people", metavar="PEOPLE")]
    """The folder `people` inside that of train-normals."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="DIR")]
    """Folder for what the landmark detector saw, and for the weights; the same command again goes on."""
    steps: Annotated[int, arg(metavar="N")] = 8000
    """Updates of each network."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Same seed, same people; on the same kind of CPU the same weights."""
    json: Flag = False
    """Print one JSON object on stdout; progress goes to stderr."""

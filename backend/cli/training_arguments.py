"""Arguments of the commands that make people and train on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from backend.cli.fields import Flag


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

"""Make the example photo: a dressed person in a daylit room.

    python examples/make_photo.py ASSETS OUT.png

ASSETS is a folder of MakeHuman CC0 assets; bpy and anny must be installed (examples/README.md).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from synthetic.recipes import EXAMPLE
from synthetic.studio import Picture, Studio

from backend.training.figure import make_person


def add_grain(image: Image.Image, seed: int = 0, sigma: float = 1.2) -> Image.Image:
    """A sensor's faint noise (standard deviation in 8-bit steps)."""
    pixels = np.asarray(image.convert("RGB")).astype(float)
    pixels += np.random.default_rng(seed).normal(0.0, sigma, pixels.shape)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def make_photo(assets: Path, out: Path, *, scale: float = 1.0, samples: int = 96) -> None:
    """Render the example person and write the finished picture (768 x 1024 at scale 1)."""
    studio = Studio(make_person(assets, EXAMPLE))
    studio.add_daylight()
    studio.add_room()
    studio.photo_camera(distance=6.5, center_height=0.93, span=2.12)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        studio.render(raw, Picture(round(768 * scale), round(1024 * scale), samples))
        finished = add_grain(Image.open(raw))
    temporary = out.with_name(f".{out.name}.partial.png")
    finished.save(temporary, optimize=True)
    os.replace(temporary, out)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("assets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="size factor, for drafts")
    parser.add_argument("--samples", type=int, default=96, help="Cycles samples a pixel")
    options = parser.parse_args()
    make_photo(options.assets, options.out, scale=options.scale, samples=options.samples)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

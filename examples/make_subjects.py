"""Make ground-truth people to measure with: photo, eight views, normals, surface, joints.

    python examples/make_subjects.py ASSETS OUT_DIR [NAME ...]

Writes OUT_DIR/<subject>/ with photo.png (perspective, in the room), views/color_000.png to 315
(orthographic, 512 x 512 RGBA, same light), views/normal_000.png and 180 (body-frame normals,
(n + 1) / 2), mesh.ply (all layers, metres, body frame) and body.json (joints, the views' frame).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import trimesh
from make_photo import add_grain
from PIL import Image
from synthetic.recipes import SUBJECTS
from synthetic.studio import Picture, Studio

from backend.training.figure import Recipe, make_person

VIEW_SIZE = 512
AZIMUTHS = range(0, 360, 45)


def make_subject(assets: Path, folder: Path, recipe: Recipe, *, samples: int) -> None:
    """Write one subject's folder."""
    (folder / "views").mkdir(parents=True, exist_ok=True)
    person = make_person(assets, recipe)
    studio = Studio(person)
    # Softer than the example's light: a back in deep shade would be no truth about colours.
    studio.add_daylight(sky=0.85, window=170.0)
    vertices, faces = studio.surface()
    trimesh.Trimesh(vertices, faces, process=False).export(folder / "mesh.ply")
    low, high = vertices.min(0), vertices.max(0)
    center = (low + high) / 2
    # The widest circle around the axis must fit every azimuth.
    reach = np.hypot(vertices[:, 0] - center[0], vertices[:, 2] - center[2]).max()
    half_height = float(1.05 * max(reach, (high - low)[1] / 2))
    record = {
        "joints": {name: point.round(5).tolist() for name, point in person.joints.items()},
        "ortho": {"center": center.round(5).tolist(), "half_height": round(half_height, 5)},
    }
    (folder / "body.json").write_text(json.dumps(record, indent=1) + "\n")
    center, half_height = np.array(record["ortho"]["center"]), record["ortho"]["half_height"]

    picture = Picture(VIEW_SIZE, VIEW_SIZE, samples, transparent=True)
    for azimuth in AZIMUTHS:
        studio.view_camera(azimuth, center, half_height)
        studio.render(folder / "views" / f"color_{azimuth:03d}.png", picture)
    studio.show_normals(True)
    for azimuth in (0, 180):
        studio.view_camera(azimuth, center, half_height)
        path = folder / "views" / f"normal_{azimuth:03d}.png"
        studio.render(path, Picture(VIEW_SIZE, VIEW_SIZE, 8, transparent=True))
    studio.show_normals(False)

    studio.add_room()
    span = 1.16 * max(high[1], (high - low)[0])
    studio.photo_camera(distance=6.5, center_height=high[1] / 2 + 0.02, span=span)
    studio.render(folder / "photo.png", Picture(768, 1024, samples * 2))
    add_grain(Image.open(folder / "photo.png")).save(folder / "photo.png")


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("assets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SUBJECTS)}; all when left out")
    parser.add_argument("--samples", type=int, default=24, help="Cycles samples a pixel of a view")
    options = parser.parse_args()
    for name in options.names or SUBJECTS:
        if name not in SUBJECTS:
            parser.error(f"no subject called {name!r}: there are {', '.join(SUBJECTS)}")
        make_subject(options.assets, options.out / name, SUBJECTS[name], samples=options.samples)
        print(options.out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())

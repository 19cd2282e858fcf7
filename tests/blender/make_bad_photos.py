"""`make_bad_photos.py GOOD FOLDER`, by the backend's Python: pictures that cannot become a person."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def main(good: Path, folder: Path) -> None:
    person = Image.open(good).convert("RGB")
    for ending in ("png", "jpg"):
        path = folder / f"corrupt.{ending}"
        person.save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    (folder / "text.png").write_text("Dear Sir or Madam,\n" * 40)
    (folder / "empty.jpg").write_bytes(b"")
    y, x = np.mgrid[0:400, 0:600]
    sky = np.stack([120 + y / 4, 150 + y / 5, 200 + 20 * np.sin(x / 90)], -1)
    Image.fromarray(sky.astype(np.uint8)).save(folder / "nobody.png")
    scene = Image.new("RGB", (700, 700), (128, 128, 128))
    scene.paste(person.resize((56, 75)), (300, 300))
    scene.save(folder / "tiny-person.png")
    person.resize((48, 64)).save(folder / "tiny-picture.png")
    clear = person.copy()
    clear.putalpha(0)
    clear.save(folder / "transparent.png")
    Image.new("RGB", (400, 400), (90, 120, 90)).save(folder / "flat.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""How near do estimated normals come to the truth, on photos whose bodies are fitted as in use?

    python benchmarks/normals.py DATASET [--providers body compact] [--limit 4] [--json FILE]

DATASET is one of `humanref make-people ASSETS -o DATASET --count N --seed S --evaluation`. Mean angles in
degrees inside silhouette and truth, front and back; "off the body" counts only pixels in which the fitted
body is not seen: cloth and hair that stand off from it. "trusted" weights pixels by the provider's trust.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float

from backend.evaluation.dataset import Truth, find_subjects, load_truth
from backend.geometry.cameras import pixel_centers
from backend.geometry.frames import CropFrame
from backend.optimization.problem import body_maps, frame_person
from backend.perception.overrides import Overrides
from backend.perception.providers import PerceptionChoices, make_normal_estimator
from backend.pipeline import Estimate, EstimateRequest, estimate

RESOLUTION = 512


@dataclass(frozen=True)
class Angles:
    """Angles to the truth of one side, degrees, and which pixels they are of."""

    degrees: Float[np.ndarray, "p"]
    weight: Float[np.ndarray, "p"]
    off_body: Bool[np.ndarray, "p"]


def measured(truth: Truth, found: Estimate, provider: str) -> tuple[dict[str, Angles], float]:
    """Angles of both sides for one provider, and its seconds."""
    crop, frame = frame_person(found.subject.mask, found.body, found.fit.camera)
    estimator, _ = make_normal_estimator(PerceptionChoices(normals=provider), Overrides())
    start = time.perf_counter()
    maps = estimator.estimate(found.subject, found.body, crop, frame, RESOLUTION)
    seconds = time.perf_counter() - start
    body = body_maps(frame.to_field(found.body.vertices).astype(np.float32), found.body)
    off = ~cv2.resize(body.silhouette.astype(np.uint8), (RESOLUTION, RESOLUTION)).astype(bool)
    sides = {}
    for side, azimuth, normals, weight in (
        ("front", 0, maps.front, maps.front_weight),
        ("back", 180, maps.back[:, ::-1], maps.back_weight[:, ::-1]),
    ):
        picture = truth.normals[azimuth] * (truth.colors[azimuth][..., 3:] > 0.5)
        if azimuth == 180:
            picture = picture[:, ::-1]
        there = on_crop(picture, crop, found.subject.photo.rgb.shape[:2])
        length = np.linalg.norm(there, axis=-1)
        used = (length > 0.9) & (weight > 0.0)
        cosine = (normals * there).sum(-1)[used] / length[used]
        angles = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
        sides[side] = Angles(angles, weight[used], off[used])
    return sides, seconds


def on_crop(
    picture: Float[np.ndarray, "n n 3"], crop: CropFrame, photo: tuple[int, int]
) -> Float[np.ndarray, "m m 3"]:
    """A view of the truth, of which the photo is the middle, on the square that the maps cover."""
    pixels = crop.to_photo(pixel_centers(RESOLUTION))
    side = picture.shape[0]
    # Photo and view have the same height; the photo lacks the view's sides.
    scale = side / photo[0]
    u = (pixels[:, 0] + (photo[0] - photo[1]) / 2) * scale - 0.5
    v = pixels[:, 1] * scale - 0.5
    grid = np.stack([u, v], -1).reshape(RESOLUTION, RESOLUTION, 2).astype(np.float32)
    return cv2.remap(picture.astype(np.float32), grid[..., 0], grid[..., 1], cv2.INTER_LINEAR)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--providers", nargs="+", default=["body", "compact"])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in args.providers}
    for folder in find_subjects(args.dataset, args.limit):
        truth = load_truth(folder)
        found = estimate(EstimateRequest(folder / "photo.png"))
        line = [folder.name]
        for name in args.providers:
            sides, seconds = measured(truth, found, name)
            row = rows[name]
            row.setdefault("seconds", []).append(seconds)
            for side, angles in sides.items():
                row.setdefault(side, []).append(float(angles.degrees.mean()))
                away = angles.degrees[angles.off_body]
                row.setdefault(f"{side} off the body", []).append(float(away.mean()))
                trusted = np.average(angles.degrees, weights=angles.weight)
                row.setdefault(f"{side} trusted", []).append(float(trusted))
            line.append(f"{name} {row['front'][-1]:.1f} / {row['back'][-1]:.1f}")
        print("   ".join(line), flush=True)
    table = {name: {k: float(np.mean(v)) for k, v in row.items()} for name, row in rows.items()}
    columns = list(next(iter(table.values())))
    print("\n| provider | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{row[c]:.2f}" for c in columns) + " |")
    if args.json:
        args.json.write_text(json.dumps({"means": table, "subjects": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

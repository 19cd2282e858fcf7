"""How near do fitted bodies come to the truth, with the detector's own depths and with lifted ones?

    python benchmarks/fitting.py DATASET... [--json FILE]

DATASET is one of `humanref make-people ASSETS -o DATASET --count N --seed S --evaluation`. Means over all
subjects: MPJPE (mm, 22 body joints, after the similarity that fits them best), how far that similarity
turns about the vertical (degrees: what a later comparison of meshes sees as a turned body), and the root of
the mean squared error of bones' slopes (z of their unit vectors) for thighs, shins, upper arms, forearms.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from backend.body import load_body
from backend.body.model import BodyModel
from backend.evaluation.alignment import fit_similarity
from backend.evaluation.dataset import BODY_JOINTS, find_subjects, load_truth
from backend.fitting import fit
from backend.fitting.lifter_weights import shipped_lifter
from backend.fitting.lifting import BONES, Lifter, Slopes
from backend.perception.subject import Subject
from backend.pipeline import EstimateRequest, estimate
from shared_protocol.skeleton import JOINT_INDEX

HEIGHT = 1.75
LIMBS = ("thighs", "shins", "upper arms", "forearms")


class LandmarksAlone:
    """The shipped lifter with its eyes shut."""

    def slopes(self, body: Any, world: Any, seen: Any, cues: Any = None) -> Slopes | None:
        return shipped_lifter().slopes(body, world, seen)


def slopes(joints: dict[str, Float[np.ndarray, "3"]]) -> Float[np.ndarray, "8"]:
    """Of the eight limb bones."""
    along = np.stack([joints[end] - joints[start] for start, end in BONES[:8]])
    return np.asarray(along[:, 2] / np.linalg.norm(along, axis=1))


def measured(
    subject: Subject,
    joints: dict[str, Float[np.ndarray, "3"]],
    model: BodyModel,
    lifter: Lifter | LandmarksAlone | None,
) -> list[float]:
    """MPJPE, turn, and the squared errors of four kinds of slopes."""
    fit.shipped_lifter = lambda: lifter  # type: ignore[assignment]
    found = model.pose(fit.fit_body(subject, model, HEIGHT).pose).joints.astype(np.float64)
    ours = {name: found[JOINT_INDEX[name]] for name in BODY_JOINTS}
    there = np.stack([joints[name] for name in BODY_JOINTS])
    place = fit_similarity(np.stack(list(ours.values())), there)
    error = np.linalg.norm(place.points(np.stack(list(ours.values()))) - there, axis=1).mean()
    turn = abs(Rotation.from_matrix(place.rotation).as_rotvec(degrees=True)[1])
    square = np.square(slopes(ours) - slopes(joints)).reshape(4, 2).mean(1)
    return [1000.0 * float(error), float(turn), *square.tolist()]


def main() -> None:
    """Fit everyone three times, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model = load_body()
    lifters = {
        "detector's depths": None,
        "lifted, landmarks alone": LandmarksAlone(),
        "lifted depths": shipped_lifter(),
    }
    rows: dict[str, list[list[float]]] = {name: [] for name in lifters}
    for folder in (each for dataset in args.datasets for each in find_subjects(dataset)):
        truth = load_truth(folder)
        subject = estimate(EstimateRequest(folder / "photo.png")).subject
        for name, used in lifters.items():
            rows[name].append(measured(subject, truth.joints, model, used))
        print(f"{folder.parent.name}/{folder.name}", *(f"{r[-1][0]:.0f} mm" for r in rows.values()))
    print(f"\n| {len(rows['lifted depths'])} people | MPJPE mm | turn deg |", end="")
    print("".join(f" {limb} |" for limb in LIMBS) + "\n|---|---|---|---|---|---|---|")
    means = {}
    for name, each in rows.items():
        mean = np.mean(each, 0)
        means[name] = [*mean[:2].tolist(), *np.sqrt(mean[2:]).tolist()]
        told = [f"{means[name][0]:.1f}", f"{means[name][1]:.1f}"]
        print("| " + " | ".join([name, *told, *(f"{x:.2f}" for x in means[name][2:])]) + " |")
    if args.json:
        args.json.write_text(json.dumps(means, indent=1) + "\n")


if __name__ == "__main__":
    main()

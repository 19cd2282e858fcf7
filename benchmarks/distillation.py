"""Does Ref-SDS carry the photo's colours to the back, region by region?

    python benchmarks/distillation.py [--train-steps 700] [--dolls 8] [--steps 150]
                                      [--picture FILE] [--json FILE]

Trains a toy prior on paper dolls (toy_prior.py; once, kept under build/), then paints the grey back of
dolls it has never seen with this project's own distillation loss: plain SDS (words only), Ref-SDS
without regions, Ref-SDS whose reference regions are swapped, and Ref-SDS. The errors are those of the
mean colour of each region against the doll's own back, 0..1. Exit code 1 when Ref-SDS does not win.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from toy_prior import SIDE, Doll, ToyPrior, draw_doll, train

from backend.body.model import Region
from backend.guidance.denoiser import PhotoReference, ReferenceDenoiser, SeenView
from backend.guidance.prior import Prompt
from backend.guidance.protocol import Draws
from backend.guidance.ref_sds import NoiseResidual, ScoreDistillation, TimestepRange
from backend.guidance.regions import PAPER_GAMMA

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "distillation"
# Swapped: every part of the reference passes for another one.
SWAP = {Region.HEAD: 3, Region.UPPER: 4, Region.LOWER: 1, Region.FEET: 2}
PARTS = (Region.HEAD, Region.UPPER, Region.LOWER, Region.FEET)
_ZOOM = 4


@dataclass(frozen=True)
class Method:
    """One way to paint a back."""

    title: str
    sees_photo: bool
    gamma: float = 1.0
    swapped: bool = False


METHODS = (
    Method("SDS", sees_photo=False),
    Method("Ref-SDS, swapped regions", sees_photo=True, gamma=PAPER_GAMMA, swapped=True),
    Method("Ref-SDS, no regions", sees_photo=True),
    Method("Ref-SDS", sees_photo=True, gamma=PAPER_GAMMA),
)
GREY = "grey start"


def reference_of(prior: ToyPrior, doll: Doll, *, swapped: bool) -> PhotoReference:
    """A doll's front as the photo."""
    labels = doll.front_labels.copy()
    if swapped:
        for part, other in SWAP.items():
            labels[doll.front_labels == part] = other
    with torch.no_grad():
        latents = prior.encode(_tensor(doll.front))
    return PhotoReference(latents, torch.from_numpy(labels), torch.zeros(SIDE, SIDE).bool())


def paint(
    prior: ToyPrior, doll: Doll, method: Method, steps: int, scale: float, seed: int
) -> np.ndarray:
    """The doll's back after ``steps`` steps of distillation from grey; (n, n, 3) on plain grey."""
    photo = reference_of(prior, doll, swapped=method.swapped) if method.sees_photo else None
    denoiser = ReferenceDenoiser(
        prior, Prompt(""), scale, photo, gamma=method.gamma, clean_reference=True
    )
    distillation = ScoreDistillation(
        prior, NoiseResidual(denoiser, method.title), TimestepRange(200, 600, 300)
    )
    view = SeenView(180.0, 0.0, torch.from_numpy(doll.back_labels)[None])
    share = torch.from_numpy(doll.back_labels > 0).float()
    pixels = torch.nn.Parameter(torch.full((1, 3, SIDE, SIDE), 0.5))
    optimizer = torch.optim.Adam([pixels], lr=0.02)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        picture = pixels.clamp(0, 1) * share + 0.5 * (1 - share)
        loss = distillation.loss(picture, view, step / steps, Draws(generator, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        finished = pixels.clamp(0, 1) * share + 0.5 * (1 - share)
    painted: np.ndarray = finished[0].permute(1, 2, 0).numpy()
    return painted


def region_errors(painted: np.ndarray, doll: Doll) -> list[float]:
    """Distance of each region's mean colour from the doll's own back (mean over r, g, b)."""
    return [
        float(
            np.abs(
                painted[doll.back_labels == part].mean(0)
                - doll.back[doll.back_labels == part].mean(0)
            ).mean()
        )
        for part in PARTS
    ]


def compare(
    prior: ToyPrior, dolls: list[Doll], steps: int, scale: float, tell: Callable[[str], None]
) -> tuple[dict[str, list[float]], list[list[np.ndarray]]]:
    """Mean error by method and region; and by doll: front, grey, each method's back, the true back."""
    errors: dict[str, list[list[float]]] = {GREY: [], **{each.title: [] for each in METHODS}}
    rows = []
    for number, doll in enumerate(dolls):
        grey = np.full_like(doll.back, 0.5)
        errors[GREY].append(region_errors(grey, doll))
        row = [doll.front, grey]
        for method in METHODS:
            row.append(paint(prior, doll, method, steps, scale, seed=number))
            errors[method.title].append(region_errors(row[-1], doll))
        rows.append([*row, doll.back])
        tell(f"doll {number + 1} of {len(dolls)}")
    return {name: np.mean(found, 0).tolist() for name, found in errors.items()}, rows


def verdict(errors: dict[str, list[float]]) -> list[str]:
    """What did not come out as it should; empty when Ref-SDS wins."""
    mean = {name: float(np.mean(found)) for name, found in errors.items()}
    wanted = [
        ("Ref-SDS", GREY, 0.75),
        ("Ref-SDS", "SDS", 0.75),
        ("Ref-SDS", "Ref-SDS, swapped regions", 1.0),
        ("Ref-SDS", "Ref-SDS, no regions", 1.0),
    ]
    return [
        f"{good} ({mean[good]:.3f}) is not below {share:g} x {bad} ({mean[bad]:.3f})"
        for good, bad, share in wanted
        if not mean[good] < share * mean[bad]
    ]


def save_picture(path: Path, rows: list[list[np.ndarray]]) -> None:
    """A row a doll, a column a method, with titles."""
    titles = ["photo", "start", *(method.title for method in METHODS), "true back"]
    cell, gap, head = SIDE * _ZOOM, 8, 26
    width, height = (cell + gap) * len(titles) + gap, (cell + gap) * len(rows) + gap + head
    sheet = np.full((height, width, 3), 255, np.uint8)
    for column, title in enumerate(titles):
        x = gap + column * (cell + gap)
        for line, words in enumerate(title.split(", ")):
            place = (x, 11 + 12 * line)
            cv2.putText(
                sheet, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
            )
        for line, row in enumerate(rows):
            big = np.kron(row[column], np.ones((_ZOOM, _ZOOM, 1)))
            y = head + gap + line * (cell + gap)
            sheet[y : y + cell, x : x + cell] = np.round(big * 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def trained_prior(steps: int, tell: Callable[[str], None]) -> ToyPrior:
    """The toy prior, from build/ where this was run before."""
    prior, path = ToyPrior(), CACHE / f"toy-{steps}.pt"
    if path.is_file():
        prior.load(path)
        return prior
    train(prior, steps, 8, 0, lambda step, loss: tell(f"step {step} of {steps}: loss {loss:.4f}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    prior.save(part)
    part.rename(path)
    return prior


def main(arguments: list[str]) -> int:
    """Measure, tell, and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train-steps", type=int, default=700)
    parser.add_argument("--dolls", type=int, default=8)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--scale", type=float, default=1.0, help="classifier-free guidance")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True)
    tell: Callable[[str], Any] = console.print
    start = time.perf_counter()
    prior = trained_prior(chosen.train_steps, tell)
    prior.network.requires_grad_(False)
    trained = time.perf_counter() - start
    # Dolls of the training come from seed 0.
    rng = np.random.default_rng(1_000_000)
    dolls = [draw_doll(rng) for _ in range(chosen.dolls)]
    errors, rows = compare(prior, dolls, chosen.steps, chosen.scale, tell)

    table = Table("back", *(part.name.lower() for part in PARTS), "mean")
    for name, found in errors.items():
        table.add_row(name, *(f"{x:.3f}" for x in found), f"{np.mean(found):.3f}")
    Console().print(table)
    faults = verdict(errors)
    for fault in faults:
        tell(f"MISSED: {fault}")
    if chosen.picture:
        save_picture(chosen.picture, rows[:4])
    if chosen.json:
        report = {
            "errors": errors,
            "faults": faults,
            "train_seconds": trained,
            "seconds": time.perf_counter() - start,
            **{name: getattr(chosen, name) for name in ("train_steps", "dolls", "steps", "scale")},
        }
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if faults else 0


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

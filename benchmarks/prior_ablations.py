"""What does each part of the compact prior bring? Short trainings from scratch that differ in one thing.

    python benchmarks/prior_ablations.py PEOPLE... --cache DIR [--steps 250] [--seed 0]
                                         [--only NAME...] [--json FILE]

PEOPLE are folders of `humanref make-people`. Every variant takes equal steps from equal seeds on small
batches (2 people x 3 views of 80 x 128 pixels; without the perceptual loss), and is measured as
`humanref train-prior` measures: PSNR in dB inside the true silhouette on validation people, in outfits, hair
and fabrics of their own. What a variant was trained without it does not see when it is measured either.
DIR keeps packed people, checkpoints and results: the same command goes on where it stopped.

With so few steps the order of the variants is the result, not their height.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.events import ignore_events
from backend.files import write_whole
from backend.guidance.compact_network import (
    CompactConfig,
    CompactNetwork,
    without_geometry,
    without_warp,
)
from backend.training.prior_batches import BatchShape
from backend.training.prior_sheets import Validation
from backend.training.prior_store import PeopleSplit, pack_folders
from backend.training.prior_training import PriorTrainer, PriorTraining, train_prior

COLUMNS = ("denoise_250", "denoise_500", "denoise_750", "sample", "sample_back")
BASE = PriorTraining(
    batch=BatchShape(people=2, targets=3, width=80), warm_up=25, cool_from=0.5, perceptual=0.0
)


@dataclass(frozen=True)
class Variant:
    """One thing that is different."""

    title: str
    settings: PriorTraining = BASE
    hides_geometry: bool = False
    hides_warp: bool = False


VARIANTS = {
    "full": Variant("as it ships"),
    "small": Variant(
        "widths 32, 64, 96", replace(BASE, network=CompactConfig(channels=(32, 64, 96)))
    ),
    "no-photo": Variant("without the photo and its colours", replace(BASE, reference=False)),
    "no-geometry": Variant(
        "without body maps and geometry bias",
        replace(BASE, network=CompactConfig(geometry=False), no_geometry=1.0),
        hides_geometry=True,
    ),
    "no-warp": Variant("without carried colours", replace(BASE, no_warp=1.0), hides_warp=True),
}


class Hiding(CompactNetwork):
    """A trained network that is measured with as little as it was trained with."""

    def __init__(self, trained: CompactNetwork, variant: Variant) -> None:
        super().__init__(trained.config, trained.alphas_cumprod)
        self.load_state_dict(trained.state_dict())
        self._variant = variant

    def forward(self, noisy: Tensor, t: Tensor, maps: Tensor, *rest: Any) -> Tensor:
        """See :meth:`CompactNetwork.forward`."""
        everyone = torch.ones(len(maps), dtype=torch.bool)
        if self._variant.hides_geometry:
            maps = without_geometry(maps, everyone)
        if self._variant.hides_warp:
            maps = without_warp(maps, everyone)
        return super().forward(noisy, t, maps, *rest)


def run(name: str, split: PeopleSplit, cache: Path, steps: int, seed: int) -> dict[str, Any]:
    """Train and measure one variant, or read what an earlier call found."""
    variant = VARIANTS[name]
    folder = cache / f"{name}-{steps}-{seed}"
    kept = folder / "result.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    folder.mkdir(parents=True, exist_ok=True)
    settings = replace(variant.settings, steps=steps, seed=seed)
    trainer = PriorTrainer(settings, split.train, torch.device("cpu"))
    trainer.resume(folder)
    first, start = trainer.step, time.perf_counter()
    train_prior(trainer, folder, ignore_events, checkpoint_every=50)
    seconds = (time.perf_counter() - start) / max(1, steps - first)
    validation = Validation(split.validation, folder)
    network = Hiding(trainer.average, variant).requires_grad_(False)
    metrics = validation.measure(network, reference=settings.reference)
    result = {
        "title": variant.title,
        "parameters": sum(each.numel() for each in network.parameters()),
        "seconds_a_step": round(seconds, 3),
        "measured": len(validation.people),
        "metrics": metrics,
    }
    write_whole(kept, (json.dumps(result, indent=1) + "\n").encode())
    return result


def table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a variant, and the photo's colours alone to compare."""
    lines = ["| variant | parameters | " + " | ".join(COLUMNS) + " |"]
    lines.append("|---" * (len(COLUMNS) + 2) + "|")
    for result in results:
        cells = [f"{result['metrics'][column]:.2f}" for column in COLUMNS]
        size = f"{result['parameters'] / 1e6:.1f} M"
        lines.append(f"| {result['title']} | {size} | " + " | ".join(cells) + " |")
    carried = results[0]["metrics"]
    lines.append(
        f"| no network: carried colours | - | - | - | - | {carried['carried']:.2f} "
        f"| {carried['carried_back']:.2f} |"
    )
    return "\n".join(lines)


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("people", nargs="+", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    split = pack_folders(args.people, args.cache / "packed", ignore_events)
    results = {}
    for name in args.only:
        results[name] = run(name, split, args.cache, args.steps, args.seed)
        print(name, json.dumps(results[name]), flush=True)
    print("\n" + table(list(results.values())))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

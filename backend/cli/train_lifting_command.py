"""``humanref train-lifting``."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from backend.cli.arguments import out_of_range
from backend.cli.interrupts import GentleInterrupts
from backend.cli.output import check_folder
from backend.cli.progress import make_progress
from backend.cli.training_arguments import TrainLifting
from backend.errors import Cancelled
from backend.events import StageFinished, StageStarted

WEIGHTS_FOLDER = "weights"
# What was seen, twice while it is replaced, and the weights.
_KEPT_BYTES = 400_000_000


def run_train_lifting(args: TrainLifting) -> dict[str, Any]:
    """Look at the people, train, and say how much of the slopes is explained.

    Raises:
        HumanRefError: ``option_out_of_range``, ``assets_missing``, ``assets_partial``,
            ``people_missing``, ``disk_full``, ``unwritable``, ``mediapipe_unavailable``.
        Cancelled: by Ctrl-C; what was seen is kept.
    """
    for option, value, low, high in (
        ("--steps", args.steps, 100, 10_000_000),
        ("--seed", args.seed, 0, 2**62),
    ):
        if not low <= value <= high:
            raise out_of_range(option, value, f"{low} to {high}")
    from backend.body import load_body
    from backend.fitting.lifter_weights import load_lifter, save_lifter
    from backend.fitting.lifting import BONES
    from backend.threads import configure_threads
    from backend.training.lifter_samples import SAMPLES, read_people, see_people
    from backend.training.lifter_samples import STAGE as LOOKING
    from backend.training.lifter_training import STAGE, LifterTraining, explained, train_lifter
    from backend.training.people_set import assets_digest
    from backend.training.wardrobe import Wardrobe

    wardrobe = Wardrobe(args.assets)
    people = read_people(args.people, assets_digest(wardrobe))
    check_folder(args.output, _KEPT_BYTES)
    args.output.mkdir(parents=True, exist_ok=True)
    # Tiny networks: more threads only wait for one another.
    configure_threads(1)
    with make_progress() as progress, GentleInterrupts(progress) as watched:
        try:
            start = time.perf_counter()
            watched(StageStarted(LOOKING, f"{people.count} people"))
            kept = args.output / SAMPLES
            seen = see_people(args.people, people, wardrobe, load_body(), kept, watched)
            watched(StageFinished(LOOKING, time.perf_counter() - start))
            learning = seen.of("train", people)
            settings = replace(LifterTraining(), steps=args.steps, seed=args.seed)
            start = time.perf_counter()
            watched(StageStarted(STAGE, f"{len(learning.slopes)} people, seed {args.seed}"))
            weights = train_lifter(learning, settings, watched)
            seconds = time.perf_counter() - start
            watched(StageFinished(STAGE, seconds))
        except KeyboardInterrupt:
            raise Cancelled("Stopped.", "The same command goes on with what was seen.") from None
    folder = args.output / WEIGHTS_FOLDER
    record: dict[str, Any] = {
        "people": people.count,
        "people_seed": people.seed,
        "seen": len(learning.slopes),
        "steps": args.steps,
        "seed": args.seed,
    }
    save_lifter(folder, weights, record)
    shares = explained(load_lifter(folder), seen.of("validation", people))
    names = [start.removeprefix("left_") for start, _ in BONES[:8:2]] + ["hips", "shoulders"]
    validation = dict(zip(names, (round(share, 3) for share in shares), strict=True))
    if not args.json:
        told = ", ".join(f"{name} {share:.2f}" for name, share in validation.items())
        print(f"validation  explained variance of the slopes: {told}")
        print(f"weights     {folder.resolve()}")
    return {
        "command": "train-lifting",
        "weights": str(folder),
        **record,
        "seconds": round(seconds, 1),
        "validation": validation,
    }

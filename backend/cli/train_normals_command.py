"""``humanref train-normals``."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend.cli.arguments import out_of_range
from backend.cli.interrupts import GentleInterrupts
from backend.cli.output import check_folder
from backend.cli.progress import make_progress
from backend.cli.train_normals_arguments import TrainNormals
from backend.errors import Cancelled
from backend.events import OnEvent, StageFinished, StageStarted

PEOPLE_FOLDER = "people"
SIZE = 256
MIN_PEOPLE, MAX_PEOPLE = 12, 100_000
# The checkpoint, a second one while it is replaced, sheets and weights.
_KEPT_BYTES = 250_000_000


def run_train_normals(args: TrainNormals) -> dict[str, Any]:
    """Make the people that are missing, train, and say how good the result is.

    Raises:
        HumanRefError: ``option_out_of_range``, ``assets_missing``, ``assets_partial``,
            ``asset_broken``, ``anny_missing``, ``output_exists``, ``disk_full``, ``unwritable``,
            ``checkpoint_other``, ``checkpoint_unreadable``, ``cuda_missing``.
        Cancelled: by Ctrl-C; people and checkpoint are kept.
    """
    for option, value, low, high in (
        ("--people", args.people, MIN_PEOPLE, MAX_PEOPLE),
        ("--steps", args.steps, 1, 10_000_000),
        ("--batch", args.batch, 1, 1024),
        ("--seed", args.seed, 0, 2**62),
        ("--threads", args.threads, 0, 1024),
    ):
        if not low <= value <= high:
            raise out_of_range(option, value, f"{low} to {high}")
    with make_progress() as progress, GentleInterrupts(progress) as watched:
        files = _make_people(args, watched)
        from backend.devices import choose_device
        from backend.threads import configure_threads
        from backend.training.normal_training import (
            STAGE,
            WEIGHTS_FOLDER,
            NormalTrainer,
            NormalTraining,
            TrainingPeople,
        )

        configure_threads(args.threads or None)
        settings = NormalTraining(args.steps, args.seed, args.batch, half=args.half)
        people = TrainingPeople(*files)
        device = str(choose_device(args.device).device)
        trainer = NormalTrainer(args.output, people, settings, device)
        start = time.perf_counter()
        told = f"from step {trainer.step}" if trainer.step else f"seed {args.seed}"
        watched(StageStarted(STAGE, f"{len(people.train)} people, {told}"))
        try:
            score = trainer.run(watched)
        except KeyboardInterrupt:
            raise Cancelled(
                f"Stopped; {args.output} holds what was finished.",
                "The same command goes on from there.",
            ) from None
        seconds = time.perf_counter() - start
        watched(StageFinished(STAGE, seconds))
    weights = args.output / WEIGHTS_FOLDER
    if not args.json:
        print(
            f"validation  front {score.front_deg:.2f} deg (body {score.body_front_deg:.2f}),",
            end=" ",
        )
        print(f"back {score.back_deg:.2f} deg (body {score.body_back_deg:.2f})")
        print(f"weights     {weights.resolve()}")
    return {
        "command": "train-normals",
        "weights": str(weights),
        "people": args.people,
        "steps": args.steps,
        "seconds": round(seconds, 1),
        "validation": asdict(score),
    }


def _make_people(
    args: TrainNormals, on_event: OnEvent
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Files of the train and of the validation people, every one of them made."""
    from backend.training.normal_people import STAGE, NormalPeople, make_normal_people, open_people
    from backend.training.people_set import assets_digest
    from backend.training.wardrobe import Wardrobe

    settings = NormalPeople(args.people, args.seed, SIZE)
    folder = args.output / PEOPLE_FOLDER
    wardrobe = Wardrobe(args.assets)
    names = [name for name, _, _ in settings.entries()]
    missing = sum(not (folder / name).exists() for name in names)
    needed = missing * settings.needed_bytes() // settings.count
    check_folder(args.output, needed + _KEPT_BYTES)
    open_people(folder, settings, assets_digest(wardrobe))
    if missing:
        start = time.perf_counter()
        on_event(StageStarted(STAGE, f"{args.people} people, seed {args.seed}"))
        from backend.body import load_body
        from backend.training.base_body import AnnyBase
        from backend.training.body_fit import BodyFitter

        base = AnnyBase()
        fitter = BodyFitter(base, load_body())
        try:
            make_normal_people(folder, settings, wardrobe, base, fitter, on_event)
        except KeyboardInterrupt:
            there = sum((folder / name).exists() for name in names)
            raise Cancelled(
                f"Stopped: {there} of {args.people} people are in {folder}.",
                "The same command goes on after them.",
            ) from None
        on_event(StageFinished(STAGE, time.perf_counter() - start))
    train = tuple(folder / name for name in settings.names("train"))
    return train, tuple(folder / name for name in settings.names("validation"))

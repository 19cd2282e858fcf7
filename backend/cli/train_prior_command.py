"""``humanref train-prior``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from backend.cli.arguments import out_of_range
from backend.cli.interrupts import GentleInterrupts
from backend.cli.output import check_folder
from backend.cli.progress import loading, make_progress
from backend.cli.training_arguments import TrainPrior
from backend.errors import Cancelled
from backend.events import OnEvent, StageFinished, StageStarted

# Packed people (4.2 MB each); the checkpoint, a second one while it is replaced, sheets and weights.
_BYTES_A_PERSON, _BYTES_KEPT = 4_300_000, 300_000_000


def run_train_prior(args: TrainPrior) -> dict[str, Any]:
    """Pack the people, train, measure, write the prior and its model card.

    Raises:
        HumanRefError: ``option_out_of_range``, ``people_missing``, ``people_other``,
            ``people_broken``, ``people_size``, ``checkpoint_other``, ``checkpoint_broken``,
            ``disk_full``, ``unwritable``, ``cuda_missing``.
        Cancelled: by Ctrl-C; packed people and the checkpoint are kept.
    """
    for option, value, low, high in (
        ("--steps", args.steps, 1, 10_000_000),
        ("--seed", args.seed, 0, 2**62),
        ("--threads", args.threads, 0, 1024),
    ):
        if not low <= value <= high:
            raise out_of_range(option, value, f"{low} to {high}")
    with make_progress() as progress, GentleInterrupts(progress) as watched:
        try:
            result = _run(args, watched)
        except KeyboardInterrupt:
            raise Cancelled(
                f"Stopped; {args.output} holds what was finished.",
                "The same command goes on from there.",
            ) from None
    if not args.json:
        if result["trained"] == 0:
            print(f"All {result['steps']} steps were taken before: nothing was trained.")
        print(f"prior       {Path(result['output']).resolve()}")
    return result


def _run(args: TrainPrior, on_event: OnEvent) -> dict[str, Any]:
    with loading(on_event):
        from backend.devices import choose_device
        from backend.threads import configure_threads
        from backend.training.prior_publishing import PRIOR, publish_prior, published_record
        from backend.training.prior_sheets import Validation
        from backend.training.prior_sources import PACKED, claim_sources, find_sources
        from backend.training.prior_store import STAGE as PACK
        from backend.training.prior_store import pack_folders
        from backend.training.prior_training import (
            STAGE,
            PriorTrainer,
            PriorTraining,
            train_prior,
        )
    sources = find_sources(args.people)
    people = sum(source.train + source.validation for source in sources)
    packed = len(list(args.output.glob(f"{PACKED}/*/*/*/person_*.angles.npy")))
    check_folder(args.output, _BYTES_KEPT + max(0, people - packed) * _BYTES_A_PERSON)
    device = choose_device(args.device).device
    configure_threads(args.threads or None)
    claim_sources(args.output, sources)

    start = time.perf_counter()
    on_event(StageStarted(PACK, f"{people} people"))
    split = pack_folders(args.people, args.output / PACKED, on_event)
    on_event(StageFinished(PACK, time.perf_counter() - start))

    settings = PriorTraining(steps=args.steps, seed=args.seed)
    trainer = PriorTrainer(settings, split.train, device)
    trainer.resume(args.output)
    first = trainer.step
    validation = Validation(split.validation, args.output)
    start = time.perf_counter()
    if first < args.steps:
        told = f"from step {first}" if first else f"seed {args.seed}"
        on_event(StageStarted(STAGE, f"{len(split.train)} people, {told}"))
        try:
            train_prior(
                trainer,
                args.output,
                on_event,
                show=lambda step: validation.draw(trainer.average, f"sheet_{step}.png"),
            )
        except KeyboardInterrupt:
            raise Cancelled(
                f"Stopped: {args.output} holds {trainer.saved} of {args.steps} steps.",
                "The same command goes on from there.",
            ) from None
        on_event(StageFinished(STAGE, time.perf_counter() - start))
    seconds = time.perf_counter() - start
    record = published_record(args.output, trainer.step)
    if record is None:
        start = time.perf_counter()
        on_event(StageStarted("measure", "people it never saw"))
        record = publish_prior(args.output, trainer, sources, validation)
        on_event(StageFinished("measure", time.perf_counter() - start))
    return {
        "command": "train-prior",
        "output": str(args.output / PRIOR),
        "steps": trainer.step,
        "trained": trainer.step - first,
        "seconds": round(seconds, 1),
        "validation": record["validation"],
    }

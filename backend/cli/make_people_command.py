"""``humanref make-people``."""

from __future__ import annotations

import time
from typing import Any

from backend.cli.output import check_folder
from backend.cli.progress import make_progress
from backend.cli.training_arguments import MakePeople
from backend.errors import Cancelled, HumanRefError
from backend.events import StageFinished, StageStarted

MIN_SIZE, MAX_SIZE = 32, 512
MAX_COUNT = 100_000


def run_make_people(args: MakePeople) -> dict[str, Any]:
    """Make the people and say how many there are.

    Raises:
        HumanRefError: ``option_out_of_range``, ``assets_missing``, ``assets_partial``,
            ``asset_broken``, ``anny_missing``, ``output_exists``, ``disk_full``, ``unwritable``.
        Cancelled: by Ctrl-C; the people finished so far are whole.
    """
    _check_numbers(args)
    from backend.training.people_set import (
        STAGE,
        PeopleSettings,
        assets_digest,
        entries,
        make_people,
        needed_bytes,
        open_set,
    )
    from backend.training.wardrobe import Wardrobe

    settings = PeopleSettings(args.count, args.seed, args.size, args.evaluation)
    wardrobe = Wardrobe(args.assets)
    missing = sum(not (args.output / entry.name).exists() for entry in entries(settings))
    check_folder(args.output, missing * needed_bytes(settings) // settings.count)
    with make_progress() as progress:
        start = time.perf_counter()
        progress(StageStarted("loading", "the base body and its shapes"))
        from backend.body import load_body
        from backend.training.base_body import AnnyBase
        from backend.training.body_fit import BodyFitter

        base = AnnyBase()
        fitter = None if args.evaluation else BodyFitter(base, load_body())
        progress(StageFinished("loading", time.perf_counter() - start))
        open_set(args.output, settings, assets_digest(wardrobe), force=args.force)
        start = time.perf_counter()
        progress(StageStarted(STAGE, f"{args.count} people, seed {args.seed}"))
        try:
            made = make_people(args.output, settings, wardrobe, base, fitter, progress)
        except KeyboardInterrupt:
            there = sum((args.output / entry.name).exists() for entry in entries(settings))
            raise Cancelled(
                f"Stopped: {there} of {args.count} people are in {args.output}.",
                "The same command goes on after them.",
            ) from None
        seconds = time.perf_counter() - start
        progress(StageFinished(STAGE, seconds))
    return {
        "command": "make-people",
        "output": str(args.output),
        "people": args.count,
        "made": made,
        "seconds": round(seconds, 2),
        "people_per_second": round(made / seconds, 3) if made else None,
    }


def _check_numbers(args: MakePeople) -> None:
    for option, value, low, high in (
        ("--count", args.count, 1, MAX_COUNT),
        ("--seed", args.seed, 0, 2**63 - 1),
        ("--size", args.size, MIN_SIZE, MAX_SIZE),
    ):
        if not low <= value <= high:
            raise HumanRefError(
                "option_out_of_range", f"{option} {value} makes no sense.", f"Give {low} to {high}."
            )

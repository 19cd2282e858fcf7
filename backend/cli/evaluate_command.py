"""``humanref evaluate``: a benchmark with ground truth, as report.json, report.md and sheet.png."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.cli.arguments import out_of_range
from backend.cli.evaluate_arguments import Evaluate
from backend.cli.output import check_outputs
from backend.cli.preflight import check_prior
from backend.cli.progress import loading, make_progress
from backend.errors import Cancelled, HumanRefError
from backend.files import write_whole
from backend.settings import GenerateSettings, preset_settings

REPORTS = ("report.json", "report.md", "sheet.png")
# The sheet, and the strip and the numbers of every run.
_BYTES = 100_000_000


def run_evaluate(args: Evaluate) -> dict[str, Any]:
    """Check everything, run, and write the report.

    Raises:
        Cancelled: stopped by Ctrl-C; finished results are kept.
        HumanRefError: bad options, dataset or output folder.
    """
    settings = evaluate_settings(args)
    _check_output(args)
    with make_progress() as progress:
        try:
            with loading(progress):
                from backend.evaluation.methods import choose_methods
                from backend.evaluation.report import markdown
                from backend.evaluation.runner import EvaluationRequest, evaluate

            named = args.prior is not None
            methods = choose_methods(args.methods, settings, prior_named=named)
            for method in methods:
                if method.reads_prior(settings):
                    check_prior(settings.prior, method.settings(settings).guidance)
            request = EvaluationRequest(
                args.dataset, args.output, methods, settings, args.limit, args.fresh
            )
            report = evaluate(request, progress)
        except (KeyboardInterrupt, Cancelled) as stop:
            # A fit that is stopped says that nothing was kept: of itself, which is not the whole.
            raise Cancelled(
                f"Stopped; finished results are kept in {args.output / 'results'}.",
                "Run the same command to go on.",
            ) from stop
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    write_whole(args.output / "report.json", text.encode())
    page = markdown(report)
    write_whole(args.output / "report.md", page.encode())
    if not args.json:
        print(page.split("\n## What the numbers mean")[0])
        print(f"report     {(args.output / 'report.md').resolve()}")
    files = {name: str((args.output / name).resolve()) for name in REPORTS}
    return {"command": "evaluate", "files": files, "report": report}


def evaluate_settings(args: Evaluate) -> GenerateSettings:
    """The preset with the options laid over it.

    Raises:
        HumanRefError: ``option_out_of_range``.
    """
    for option, value in (("--limit", args.limit), ("--steps", args.steps)):
        if value is not None and value < 1:
            raise out_of_range(option, value, "1 or more")
    if not 0 <= args.seed < 2**63:
        raise out_of_range("--seed", args.seed, "a whole number from 0 up")
    settings = replace(preset_settings(args.preset), seed=args.seed, device=args.device)
    if args.steps is not None:
        settings = replace(settings, optimization=replace(settings.optimization, steps=args.steps))
    if args.prior is not None:
        from backend.guidance.prior_choice import named_prior

        settings = replace(settings, prior=named_prior(settings.prior, args.prior))
    return settings


def _check_output(args: Evaluate) -> None:
    output, dataset = args.output.resolve(), args.dataset.resolve()
    if output == dataset or dataset in output.parents:
        raise HumanRefError(
            "output_is_input",
            f"{args.output} lies in the dataset, where it would pass for a subject.",
            "Choose a folder beside it.",
        )
    if args.output.exists() and not args.output.is_dir():
        raise HumanRefError(
            "output_folder", f"{args.output} is a file.", "Give the report a folder."
        )
    places: list[Path] = [args.output / name for name in REPORTS]
    check_outputs(places, [], force=True, needed_bytes=_BYTES)

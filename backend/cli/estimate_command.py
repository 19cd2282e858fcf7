"""``humanref estimate``: the proposed pose as pose.json and as a picture."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from backend.cli.arguments import Estimate, check_height
from backend.cli.interrupts import GentleInterrupts
from backend.cli.output import OutputFiles, check_outputs, check_suffix
from backend.cli.preflight import check_request, named_inputs
from backend.cli.progress import duration, loading, make_progress
from backend.run_report import RunRecorder

# A pose is a few kilobytes, its picture at most as large as the photo.
NEEDED_BYTES = 20_000_000


def run_estimate(args: Estimate) -> dict[str, Any]:
    """Estimate pose and shape and write them; nothing is left behind when that fails.

    Raises:
        HumanRefError: bad options, outputs or photo; see the stages' own codes.
    """
    check_height(args.body.height_cm)
    check_request(args)
    check_suffix(args.output, (".json",), "The output")
    outputs = [args.output]
    if args.overlay is not None:
        check_suffix(args.overlay, (".png",), "The overlay")
        outputs.append(args.overlay)
    check_outputs(outputs, named_inputs(args).values(), force=args.force, needed_bytes=NEEDED_BYTES)
    with make_progress() as progress:
        recorder = RunRecorder(progress)
        with GentleInterrupts(recorder) as on_event, OutputFiles() as files:
            with loading(on_event):
                from backend.cli.requests import estimate_request
                from backend.devices import choose_device
                from backend.pipeline import estimate
                from backend.results import estimate_files

            # Refused also where no provider would have used it.
            choose_device(args.device)
            estimated = estimate(estimate_request(args), on_event)
            writers = estimate_files(estimated)
            writers["pose.json"](files.stage(args.output))
            if args.overlay is not None:
                writers["overlay.png"](files.stage(args.overlay))
            files.commit()
    report = estimated.fit.report
    made = {"pose": args.output, "overlay": args.overlay}
    result: dict[str, Any] = {
        "command": "estimate",
        "files": {what: str(path.resolve()) for what, path in made.items() if path is not None},
        "fit": asdict(report),
        "providers": dict(estimated.subject.providers),
        "warnings": list(recorder.warnings),
        "seconds": recorder.seconds,
    }
    if not args.json:
        print_result(result)
    return result


def print_result(result: dict[str, Any]) -> None:
    """What was made, for people."""
    fit = result["fit"]
    for what, path in result["files"].items():
        print(f"{what:<10} {path}")
    error, overlap = fit["reprojection_error_px"], fit["silhouette_iou"]
    found = [] if error is None else [f"joints within {error:.1f} px of the landmarks"]
    if overlap is not None:
        found.append(f"bare body covers {100 * overlap:.0f} % of the silhouette (IoU)")
    print(f"{'fit':<10} {', '.join(found)}")
    print(f"{'time':<10} {duration(result['seconds'])}")
    for warning in result["warnings"]:
        print(f"{'note':<10} {warning}")

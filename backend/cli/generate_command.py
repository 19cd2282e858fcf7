"""``humanref generate``: a photo becomes a character file, and what is kept beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.cli.arguments import Generate, generate_settings
from backend.cli.interrupts import GentleInterrupts
from backend.cli.output import OutputFiles, check_outputs, check_suffix
from backend.cli.preflight import check_prior, check_request, named_inputs, record_inputs
from backend.cli.progress import duration, loading, make_progress
from backend.errors import Cancelled, HumanRefError
from backend.run_report import RunRecorder, RunReport
from backend.settings import PRIOR_GUIDANCE, GenerateSettings

CHARACTER_FORMATS = (".glb", ".ply", ".obj")
ARTIFACTS = (
    "mesh.ply",
    "pose.json",
    "mask.png",
    "regions.png",
    "overlay.png",
    "turntable.png",
    "run.json",
)
# Room for the character and the pictures; the checkpoint comes on top.
RESULT_BYTES = 60_000_000
# A refined picture of 512 pixels in the view bank.
_BANK_PICTURE = 512 * 512 * 3


def run_generate(args: Generate) -> dict[str, Any]:
    """Make a character and write it; a failure leaves the folders as they were.

    What may stay is the checkpoint ``<output>.checkpoint``, which ``--resume`` continues from.

    Raises:
        Cancelled: stopped by Ctrl-C.
        HumanRefError: bad options, outputs or photo; see the stages' own codes.
    """
    settings = generate_settings(args)
    check_request(args)
    check_suffix(args.output, CHARACTER_FORMATS, "The output")
    artifacts = {name: args.artifacts / name for name in ARTIFACTS} if args.artifacts else {}
    checkpoint = checkpoint_path(args.output)
    if args.resume and not checkpoint.is_file():
        raise HumanRefError(
            "checkpoint_missing",
            f"There is no checkpoint {checkpoint} to resume from.",
            "Run without --resume to start afresh.",
        )
    check_outputs(
        [args.output, *artifacts.values()],
        named_inputs(args).values(),
        force=args.force,
        needed_bytes=RESULT_BYTES + checkpoint_bytes(settings),
    )
    if settings.guidance in PRIOR_GUIDANCE:
        check_prior(settings.prior, settings.guidance)
    stamp = _stamp(checkpoint)
    try:
        report = _generate(args, settings, artifacts, checkpoint)
    except (KeyboardInterrupt, HumanRefError) as error:
        kept = checkpoint if args.resume or _stamp(checkpoint) != stamp else None
        raise _with_checkpoint(error, kept) from error
    checkpoint.unlink(missing_ok=True)
    result: dict[str, Any] = {
        "command": "generate",
        "files": {
            "character": str(args.output.resolve()),
            **{name: str(path.resolve()) for name, path in artifacts.items()},
        },
        "run": report.to_json(),
    }
    if not args.json:
        print_result(args, result["run"], list(artifacts))
    return result


def _generate(
    args: Generate, settings: GenerateSettings, artifacts: dict[str, Path], checkpoint: Path
) -> RunReport:
    with make_progress() as progress:
        recorder = RunRecorder(progress)
        with GentleInterrupts(recorder) as on_event, OutputFiles() as files:
            with loading(on_event):
                from backend.cli.requests import estimate_request
                from backend.devices import choose_device
                from backend.pipeline import estimate, generate, stage
                from backend.results import result_files, result_numbers, write_character

            device = choose_device(settings.device)
            record_inputs(args, recorder)
            request = estimate_request(args)
            estimated = estimate(request, on_event)
            result = generate(
                estimated,
                settings,
                on_event,
                overrides=request.overrides,
                providers=request.providers,
                checkpoint=checkpoint,
                resume=args.resume,
            )
            with stage("export", on_event):
                write_character(files.stage(args.output), result.character, args.output.stem)
                staged = {name: files.stage(path) for name, path in artifacts.items()}
                writers = result_files(estimated, result, args.output.stem)
                for name, path in staged.items():
                    if name != "run.json":
                        writers[name](path)
            recorder.add_providers(result.providers)
            report = recorder.report(
                settings,
                guidance=result.providers["guidance"],
                device=f"{device.device.type}: {device.why}",
                results=result_numbers(estimated, result),
            )
            if "run.json" in staged:
                report.write(staged["run.json"])
            files.commit()
    return report


def checkpoint_path(output: Path) -> Path:
    """Where a run that makes ``output`` keeps its checkpoint."""
    return output.with_name(output.name + ".checkpoint")


def checkpoint_bytes(settings: GenerateSettings) -> int:
    """Upper bound of the space that checkpoints take while one replaces another.

    The tables dominate: 4-byte features, two an entry, three copies (values and Adam's two moments);
    with a diffusion prior its view bank is in there too.
    """
    table = settings.field.levels * (1 << settings.field.log2_table) * 2 * 4
    bank = settings.prior.bank_views * _BANK_PICTURE if settings.guidance in PRIOR_GUIDANCE else 0
    return 2 * (3 * table + bank)


def _stamp(checkpoint: Path) -> int | None:
    """Tells this run's checkpoint from an older one."""
    return int(checkpoint.stat().st_mtime_ns) if checkpoint.is_file() else None


def _with_checkpoint(error: KeyboardInterrupt | HumanRefError, kept: Path | None) -> HumanRefError:
    """The same error, saying where the work so far is."""
    said = "Run the same command with --resume to continue."
    if isinstance(error, KeyboardInterrupt):
        if kept is None:
            return Cancelled("Stopped.", "Nothing was written.")
        return Cancelled(f"Stopped; the checkpoint is kept in {kept}.", said)
    if kept is None or isinstance(error, Cancelled) or error.code.startswith("checkpoint"):
        return error
    return HumanRefError(
        error.code,
        error.message,
        f"{error.hint} The fit is kept in {kept}: add --resume to continue from it.".strip(),
        retryable=error.retryable,
    )


def print_result(args: Generate, report: Mapping[str, Any], artifacts: Sequence[str]) -> None:
    """What was made, for people; ``report`` is the content of run.json."""
    results, seconds = report["results"], report["stages"]
    lines = [
        ("character", str(args.output.resolve())),
        (
            "",
            f"{results['faces']:,} faces, {results['joints']} joints, "
            f"{100 * results['height_m']:.0f} cm tall",
        ),
    ]
    if args.artifacts is not None:
        lines.append(("artifacts", str(args.artifacts.resolve())))
        lines.append(("", ", ".join(artifacts)))
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:4]
    stages = ", ".join(f"{name.replace('_', ' ')} {duration(taken)}" for name, taken in slowest)
    lines.append(("time", f"{duration(report['seconds'])} ({stages})"))
    lines.append(("memory", f"{report['peak_memory_mb']:,.0f} MiB at the most"))
    lines.append(("back side", report["guidance"]))
    lines += [("note", warning) for warning in report["warnings"]]
    for what, text in lines:
        print(f"{what:<10} {text}")

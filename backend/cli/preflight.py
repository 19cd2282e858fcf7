"""What a command reads: named, checked and digested before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path

from backend.cli.arguments import Estimate, Generate
from backend.cli.output import check_inputs
from backend.errors import HumanRefError
from backend.run_report import RunRecorder
from backend.settings import Guidance, PriorSettings


def named_inputs(args: Generate | Estimate) -> dict[str, Path | None]:
    """Every file the command reads, by the words a person knows it by."""
    own = args.your_own
    return {
        "The photo": args.photo,
        "--pose": args.pose,
        "--mask": own.mask,
        "--regions": own.regions,
        "--normals-front": own.normals_front,
        "--normals-back": own.normals_back,
    }


def check_request(args: Generate | Estimate) -> None:
    """Refuse what can be refused without opening a file.

    Raises:
        HumanRefError: ``file_missing``, ``option_conflict``.
    """
    check_inputs(named_inputs(args))
    if args.body.smplx_model is None:
        return
    if args.body.model != "smplx":
        raise HumanRefError(
            "option_conflict",
            "--smplx-model is given, but the body is anny.",
            "Add --body smplx, or leave --smplx-model out.",
        )
    if not args.body.smplx_model.exists():
        raise HumanRefError(
            "smplx_missing",
            f"--smplx-model {args.body.smplx_model} does not exist.",
            "Download SMPLX_NEUTRAL.npz from smpl-x.is.tue.mpg.de and give its path.",
        )


def check_prior(settings: PriorSettings, guidance: Guidance) -> None:
    """Refuse a diffusion model that is absent or of the wrong kind before the photo is looked at.

    Raises:
        HumanRefError: see ``CompactPrior.load`` and ``StableDiffusionPrior.load``; ``prior_missing``,
            ``vsd_unsupported``, ``missing_package``.
    """
    from backend.guidance.prior_choice import check_named, uses_compact_prior, vsd_unsupported
    from backend.guidance.stable_diffusion_files import check_folder, find_folder
    from backend.perception.hub import require

    check_named(settings)
    compact = uses_compact_prior(settings)
    if guidance == "vsd":
        if compact:
            raise vsd_unsupported("the compact prior")
        require("vsd", "peft")
    if compact:
        from backend.guidance.compact_files import SHIPPED, check_compact

        check_compact(settings.folder or SHIPPED)
        return
    source = settings.folder or settings.repo
    check_folder(find_folder(str(source), settings.revision))


def record_inputs(args: Generate | Estimate, recorder: RunRecorder) -> None:
    """Digest every input for run.json."""
    roles = ("photo", "pose", "mask", "regions", "normals_front", "normals_back")
    for role, path in zip(roles, named_inputs(args).values(), strict=True):
        recorder.add_input(role, path)
    model = args.body.smplx_model
    recorder.add_input("smplx_model", model if model is not None and model.is_file() else None)

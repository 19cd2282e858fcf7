"""What would run each stage on this machine, why, under which licence, and what would be better."""

from __future__ import annotations

import dataclasses
import importlib
import platform
from dataclasses import dataclass
from typing import Any

from backend.run_report import package_versions
from backend.threads import usable_cores

# Module -> what it is for. Each must import for the embedded road to work at all.
REQUIRED_MODULES = {
    "torch": "fitting the character",
    "numba": "the fast kernels on the CPU",
    "cv2": "pictures",
    "mediapipe": "finding the person",
    "mcubes": "meshing",
    "pygltflib": "writing GLB files",
}

_SYSTEM_LIBRARIES = ("libGL", "libgthread", "libglib", "libEGL", "libGLES")


@dataclass(frozen=True)
class StageRow:
    """One stage and who would do it here."""

    stage: str
    provider: str
    why: str
    licence: str
    improve: str = ""
    """What would give a better or faster result; empty when nothing would."""


@dataclass(frozen=True)
class Problem:
    """Something that keeps humanref from working, and the remedy."""

    what: str
    remedy: str


@dataclass(frozen=True)
class DoctorReport:
    """The doctor's findings."""

    machine: dict[str, Any]
    stages: tuple[StageRow, ...]
    problems: tuple[Problem, ...]
    versions: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """JSON types only."""
        return dataclasses.asdict(self)


def find_problems(modules: dict[str, str] | None = None) -> tuple[Problem, ...]:
    """Import every required module and name those that fail.

    Args:
        modules: module -> purpose; :data:`REQUIRED_MODULES` when not given.
    """
    problems = []
    for module, purpose in (REQUIRED_MODULES if modules is None else modules).items():
        try:
            importlib.import_module(module)
        except Exception as error:
            problems.append(Problem(_what(module, purpose, error), _remedy(module, error)))
    return tuple(problems)


def find_damage() -> tuple[Problem, ...]:
    """Check the weights of the prior that ships against their digests."""
    from backend.errors import HumanRefError
    from backend.guidance import compact_files

    try:
        compact_files.check_compact(compact_files.SHIPPED)
    except HumanRefError as error:
        return (Problem(error.message.removesuffix("."), error.hint),)
    return ()


def _what(module: str, purpose: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{module} ({purpose}) does not load: {reason}"


def _remedy(module: str, error: Exception) -> str:
    if any(library in str(error) for library in _SYSTEM_LIBRARIES):
        return "Install the system's OpenGL library: apt-get install libgl1 libglib2.0-0"
    if isinstance(error, ModuleNotFoundError):
        return "Install humanref again: pip install humanref"
    return f"Reinstall the package that holds {module}."


def examine() -> DoctorReport:
    """Look at this machine. Stages are listed only when nothing required is broken."""
    problems = find_problems() or find_damage()
    stages = () if problems else _stages()
    machine: dict[str, Any] = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": usable_cores(),
    }
    if not any(problem.what.startswith("torch ") for problem in problems):
        machine.update(_torch_facts())
    return DoctorReport(machine, stages, problems, package_versions())


def _torch_facts() -> dict[str, Any]:
    import torch

    from backend.devices import choose_device

    choice = choose_device("auto")
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "device": f"{choice.device.type} ({choice.why})",
    }
    if choice.device.type == "cuda":
        facts["gpu_memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)
    return facts


def _stages() -> tuple[StageRow, ...]:
    """Every stage, in the order a photo meets them."""
    from backend.perception.providers import provider_report

    perception = [
        StageRow(row.stage, row.provider, row.why, row.licence, row.improve)
        for row in provider_report()
    ]
    return (*perception, _body_row(), _encoding_row(), *_guidance_rows())


def _body_row() -> StageRow:
    from backend.body import load_body

    body = load_body("anny")
    return StageRow(
        "body",
        body.name,
        "ships with humanref",
        body.licence,
        "--body smplx --smplx-model SMPLX_NEUTRAL.npz uses your own licensed SMPL-X file",
    )


def _encoding_row() -> StageRow:
    from backend.devices import choose_device
    from backend.field.encodings import make_encoding
    from backend.field.encodings.grid import HashGridLayout
    from backend.settings import FieldSettings

    device = choose_device("auto").device
    settings = FieldSettings()
    layout = HashGridLayout.from_settings(settings)
    encoding, why = make_encoding(settings.encoding, layout, str(device))
    return StageRow("hash encoding", encoding.name, why, "GPL-3.0-or-later (ours)")


def _guidance_rows() -> tuple[StageRow, ...]:
    from backend.guidance.prior_choice import TITLES
    from backend.settings import GenerateSettings

    name = GenerateSettings().guidance
    why = f"{TITLES[name]}: the paper's; --guidance mirror is a faster baseline"
    guidance = StageRow("guidance", name, why, "GPL-3.0-or-later (ours)")
    return (guidance, _prior_row(), _larger_prior_row(), _perceptual_row())


def _prior_row() -> StageRow:
    """The prior that ships: what a run distils when none is named."""
    from backend.guidance.compact_files import SHIPPED, check_compact
    from backend.guidance.compact_prior import CompactPrior

    index, _ = check_compact(SHIPPED)
    return StageRow(
        "diffusion prior",
        CompactPrior.name,
        "ships with humanref",
        str(index["licence"]),
        "--prior FOLDER takes one that you trained (humanref train-prior), or Stable Diffusion",
    )


def _larger_prior_row() -> StageRow:
    """Stable Diffusion 1.5 in its place: here, or how to get it."""
    from backend.errors import HumanRefError
    from backend.guidance.stable_diffusion_files import (
        DEFAULT_REPO,
        check_folder,
        find_folder,
        read_licence,
    )

    stage = "larger prior"
    try:
        folder = find_folder(DEFAULT_REPO)
        check_folder(folder)
    except HumanRefError as error:
        return StageRow(stage, "none", error.message, "-", error.hint)
    use = f"--prior {DEFAULT_REPO}, with a graphics card"
    return StageRow(stage, DEFAULT_REPO, "on this machine", read_licence(folder), use)


def _perceptual_row() -> StageRow:
    """What compares renders with their refined pictures."""
    import torch

    from backend.errors import HumanRefError
    from backend.guidance.perceptual import choose_perceptual
    from backend.settings import GenerateSettings

    try:
        chosen = choose_perceptual("auto", torch.device("cpu"))
    except HumanRefError as error:
        return StageRow("perceptual loss", "none", error.message, "-", error.hint)
    licence = "BSD-2-Clause" if chosen.name.startswith("LPIPS") else "Apache-2.0"
    usual = GenerateSettings().prior
    idle = "" if usual.refine_from < 1.0 else "; without --prior no view is refined"
    return StageRow("perceptual loss", chosen.name, f"{chosen.why}{idle}", licence)

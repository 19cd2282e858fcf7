"""What can be asked on the command line: one frozen dataclass a command.

Nothing heavy is imported here, so ``--help`` and a wrong option answer at once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from backend.cli.evaluate_arguments import Evaluate
from backend.cli.fields import Flag, optional
from backend.cli.serve_arguments import Keys, Serve
from backend.cli.train_normals_arguments import TrainNormals
from backend.cli.training_arguments import MakePeople, TrainLifting, TrainPrior
from backend.errors import HumanRefError
from backend.settings import (
    MAX_TEXTURE,
    MIN_TEXTURE,
    PRIOR_GUIDANCE,
    Device,
    GenerateSettings,
    Guidance,
    Preset,
    PriorSettings,
    preset_settings,
)

MIN_HEIGHT_CM, MAX_HEIGHT_CM = 30.0, 300.0
MIN_FACES = 1000


@dataclass(frozen=True)
class YourOwn:
    """Your own results in place of the machine's; checked for size and sense."""

    mask: Annotated[Path | None, optional("PNG")] = None
    """Your silhouette: a grey picture of the photo's size, white where the person is."""
    regions: Annotated[Path | None, optional("PNG")] = None
    """Your body regions, one number a pixel: 0 background, 1 head, 2 upper body, 3 legs, 4 feet."""
    caption: Annotated[str | None, optional("TEXT")] = None
    """Your description of the person."""
    normals_front: Annotated[Path | None, optional("PNG")] = None
    """Your normal map of the front, colours (n + 1) / 2, at the photo's size."""
    normals_back: Annotated[Path | None, optional("PNG")] = None
    """Your normal map of the back, as a camera behind the person sees it."""


@dataclass(frozen=True)
class BodyChoice:
    """The parametric body and how tall the person is."""

    height_cm: Annotated[float, arg(metavar="CM")] = 175.0
    """Stature: a photo has no scale of its own."""
    model: Annotated[Literal["anny", "smplx"], arg(name="body")] = "anny"
    """anny ships with humanref; smplx reads your own licensed file."""
    smplx_model: Annotated[Path | None, optional("PATH")] = None
    """Your SMPLX_NEUTRAL.npz, or the folder that holds it (with --body smplx)."""


@dataclass(frozen=True)
class Providers:
    """Who does each step: auto, a name below, or NAME:FOLDER with weights of yours; see doctor."""

    segmentation: Annotated[str, arg(metavar="NAME")] = "auto"
    """Silhouette: grabcut, keyed, birefnet, mask-rcnn."""
    parsing: Annotated[str, arg(metavar="NAME")] = "auto"
    """Head, upper body, legs and feet: landmarks, segformer, fashn."""
    captioner: Annotated[str, arg(metavar="NAME")] = "auto"
    """Description of the person: template, blip, blip2."""
    normals_provider: Annotated[str, arg(metavar="NAME")] = "auto"
    """Front and back normal maps: compact, body, marigold."""


@dataclass(frozen=True)
class AtServer:
    """Have a running `humanref serve` do the work, on this computer or another one."""

    server: Annotated[str | None, optional("CONNECTION")] = None
    """Its connection file, or "local" for the one of this computer."""
    key: Annotated[Path | None, optional("FILE")] = None
    """Your secret key file from `humanref keys`, for a server on another computer."""


PhotoPath = Annotated[Positional[Path], arg(name="photo", metavar="PHOTO")]


@dataclass(frozen=True)
class Generate:
    """Make a rigged, coloured 3D character from one photo of a person.

    Example: humanref generate me.jpg -o me.glb --artifacts me
    """

    photo: PhotoPath
    """Photo of a whole person (PNG, JPEG, WebP, TIFF ...)."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """The character: .glb (skinned, textured), .ply or .obj (still, vertex colours)."""
    artifacts: Annotated[Path | None, optional("DIR")] = None
    """Also keep the mesh, pose, masks, pictures and run.json in this folder."""
    preset: Preset = "standard"
    """draft: a quick look; standard: the usual; paper: the paper's schedule and its prior, which you bring
    (hours on a CPU)."""
    pose: Annotated[Path | None, optional("FILE")] = None
    """Pose to use: a corrected pose.json, or SMPL-X parameters (.npz, .pkl, .json)."""
    person: Annotated[int | None, optional("N")] = None
    """Which person, counted from the left, 0 first; the largest when left out."""
    guidance: Guidance = "ref-sds"
    """Unseen sides. ref-sds: the paper's, from a diffusion prior; mirror: a fast baseline that carries the
    photo to the back; none: left alone; to compare: ref-sds-global (no regions), sds, vsd (photo unseen)."""
    prior: Annotated[str | None, optional("FOLDER")] = None
    """Instead of the prior that ships: a folder of Stable Diffusion 1.x (which the paper preset needs) or
    of train-prior, or a downloaded hub id[@commit]."""
    seed: Annotated[int, arg(metavar="N")] = 0
    """Same seed, same machine, same character."""
    device: Device = "auto"
    """auto takes a GPU where one answers."""
    faces: Annotated[int | None, optional("N")] = None
    """Triangles of the character, instead of the preset's."""
    texture: Annotated[int | None, optional("N")] = None
    """Side of its texture in pixels, instead of the preset's; 0 for vertex colours alone."""
    steps: Annotated[int | None, optional("N")] = None
    """Optimisation steps, instead of the preset's."""
    resume: Flag = False
    """Continue a run that was stopped, from its checkpoint."""
    force: Flag = False
    """Replace files that are already there."""
    json: Flag = False
    """Print one JSON object on stdout; progress goes to stderr."""
    your_own: YourOwn = dataclasses.field(default_factory=YourOwn)
    body: BodyChoice = dataclasses.field(default_factory=BodyChoice)
    providers: Providers = dataclasses.field(default_factory=Providers)
    remote: AtServer = dataclasses.field(default_factory=AtServer)


@dataclass(frozen=True)
class Estimate:
    """Find the person's pose and shape, to look at and correct before generating.

    Example: humanref estimate me.jpg -o pose.json --overlay pose.png
    """

    photo: PhotoPath
    """Photo of a whole person (PNG, JPEG, WebP, TIFF ...)."""
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """The pose (.json), to be given back with `humanref generate --pose`."""
    overlay: Annotated[Path | None, optional("PNG")] = None
    """Also make a picture of the body over the photo."""
    pose: Annotated[Path | None, optional("FILE")] = None
    """Use this pose and say how well it fits: a pose.json, or SMPL-X parameters."""
    refit: Flag = False
    """Fit again from --pose instead of taking it as it is."""
    lock: Annotated[str | None, optional("JOINTS")] = None
    """With --refit: joints to keep as in --pose, such as left_elbow,right_knee."""
    person: Annotated[int | None, optional("N")] = None
    """Which person, counted from the left, 0 first; the largest when left out."""
    device: Device = "auto"
    """auto takes a GPU where one answers."""
    force: Flag = False
    """Replace files that are already there."""
    json: Flag = False
    """Print one JSON object on stdout; progress goes to stderr."""
    your_own: YourOwn = dataclasses.field(default_factory=YourOwn)
    body: BodyChoice = dataclasses.field(default_factory=BodyChoice)
    providers: Providers = dataclasses.field(default_factory=Providers)
    remote: AtServer = dataclasses.field(default_factory=AtServer)


@dataclass(frozen=True)
class Doctor:
    """Say what runs each stage on this machine, why, its licence, and what would improve it."""

    json: Flag = False
    """Print one JSON object on stdout."""


Command = (
    Generate
    | Estimate
    | Evaluate
    | MakePeople
    | TrainPrior
    | TrainNormals
    | TrainLifting
    | Serve
    | Keys
    | Doctor
)


def parse(argv: list[str]) -> Command:
    """Read the command line. Raises SystemExit: 0 after help, 2 when it cannot be understood."""
    return tyro.cli(
        Command,
        prog="humanref",
        description="One photo of a person becomes a rigged, coloured 3D character.",
        args=argv,
        config=(
            tyro.conf.OmitArgPrefixes,
            tyro.conf.FlagCreatePairsOff,
            tyro.conf.HelptextFromCommentsOff,
        ),
    )


def generate_settings(args: Generate) -> GenerateSettings:
    """The preset with the options laid over it.

    Raises:
        HumanRefError: ``option_out_of_range``.
    """
    check_height(args.body.height_cm)
    if args.faces is not None and args.faces < MIN_FACES:
        raise out_of_range("--faces", args.faces, f"{MIN_FACES} or more")
    if args.texture and not MIN_TEXTURE <= args.texture <= MAX_TEXTURE:
        wanted = f"0, or {MIN_TEXTURE} to {MAX_TEXTURE}"
        raise out_of_range("--texture", args.texture, wanted)
    if args.steps is not None and args.steps < 1:
        raise out_of_range("--steps", args.steps, "1 or more")
    if not 0 <= args.seed < 2**63:
        raise out_of_range("--seed", args.seed, "a whole number from 0 up")
    settings = preset_settings(args.preset)
    settings = replace(settings, prior=prior_settings(args, settings.prior))
    if args.steps is not None:
        settings = replace(settings, optimization=replace(settings.optimization, steps=args.steps))
    if args.faces is not None:
        settings = replace(settings, meshing=replace(settings.meshing, faces=args.faces))
    if args.texture is not None:
        settings = replace(settings, meshing=replace(settings.meshing, texture=args.texture))
    return replace(
        settings,
        guidance=args.guidance,
        seed=args.seed,
        device=args.device,
        height_cm=args.body.height_cm,
    )


def prior_settings(args: Generate, preset: PriorSettings) -> PriorSettings:
    """Where the diffusion prior lies; on a server that is the server's own business.

    Raises:
        HumanRefError: ``option_conflict`` where --guidance and --prior disagree.
    """
    if args.guidance not in PRIOR_GUIDANCE:
        if args.prior is None:
            return preset
        raise HumanRefError(
            "option_conflict",
            f"--prior is given, but the guidance {args.guidance} asks no prior.",
            "Take --guidance ref-sds, or leave --prior out.",
        )
    if args.remote.server is not None:
        if args.prior is None:
            return preset
        raise HumanRefError(
            "option_conflict",
            "--prior is given, but a server uses its own.",
            "Leave --prior out; the server is started with: humanref serve --prior FOLDER",
        )
    if args.prior is None:
        return preset
    from backend.guidance.prior_choice import named_prior

    return named_prior(preset, args.prior)


def check_height(height_cm: float) -> None:
    """Raises HumanRefError ``option_out_of_range`` for a stature that no person has (or NaN)."""
    if not MIN_HEIGHT_CM <= height_cm <= MAX_HEIGHT_CM:
        wanted = f"centimetres between {MIN_HEIGHT_CM:.0f} and {MAX_HEIGHT_CM:.0f}"
        raise out_of_range("--height-cm", height_cm, wanted)


def out_of_range(option: str, value: int | float, wanted: str) -> HumanRefError:
    """An option whose value makes no sense, in one sentence."""
    return HumanRefError(
        "option_out_of_range", f"{option} {value:g} makes no sense.", f"Give {wanted}."
    )

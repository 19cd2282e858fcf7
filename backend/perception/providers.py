"""The one place that chooses who does each stage of perception, and can say why.

A choice is ``auto``, ``embedded``, a provider's name, or ``name:WEIGHTS`` with a local folder, file
or hub id. ``auto`` takes the full provider where its weights are on this machine and a GPU can run
it, else the embedded one; it never downloads. A provider that is named may download its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend.devices import choose_device
from backend.errors import HumanRefError
from backend.perception.backdrop import Backdrop
from backend.perception.caption import Captioner, TemplateCaption
from backend.perception.cut_lines import CutLines
from backend.perception.hub import installed, local_weights
from backend.perception.landmarks import LandmarkEstimator, MediapipeLandmarks
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.normals import BodyNormals, NormalEstimator
from backend.perception.overrides import Overrides
from backend.perception.parsing import LandmarkParsing, Parser
from backend.perception.segmentation import KeyedSegmentation, MediapipeGrabCut, Segmenter
from backend.perception.subject import Photo
from backend.perception.user_normals import UserNormals


@dataclass(frozen=True)
class PerceptionChoices:
    """Who does each stage: ``auto``, ``embedded``, a name, or ``name:WEIGHTS``."""

    segmentation: str = "auto"
    """``grabcut`` (embedded), ``keyed`` (embedded), ``birefnet``, ``mask-rcnn``."""
    parsing: str = "auto"
    """``landmarks`` (embedded), ``segformer``, ``fashn``."""
    caption: str = "auto"
    """``template`` (embedded), ``blip``, ``blip2``."""
    normals: str = "auto"
    """``compact`` (embedded, or ``compact:FOLDER`` of your own training), ``body``, ``marigold``."""
    device: str = "auto"
    """Where full providers run: ``auto``, ``cpu`` or ``cuda``."""


@dataclass(frozen=True)
class ProviderRow:
    """One line of ``humanref doctor``."""

    stage: str
    provider: str
    why: str
    improve: str
    licence: str


@dataclass(frozen=True)
class _Full:
    """A provider that needs weights the user has."""

    name: str
    weights: str
    licence: str
    packages: tuple[str, ...]
    extra: str
    automatic: bool = True
    """Whether ``auto`` may take it; alternatives to the first one are only taken by name."""


_MEDIAPIPE_LICENCE = "Apache-2.0 (models inside the mediapipe wheel)"
_OURS = "GPL-3.0-or-later (ours)"
_HUB = ("transformers",)
_STAGES: dict[str, tuple[tuple[str, ...], str, tuple[_Full, ...]]] = {
    "segmentation": (
        ("grabcut", "keyed"),
        _MEDIAPIPE_LICENCE,
        (
            _Full("birefnet", "ZhengPeng7/BiRefNet", "MIT", _HUB, "hub"),
            _Full("mask-rcnn", "", "BSD-3-Clause", ("torchvision",), "maskrcnn", automatic=False),
        ),
    ),
    "parsing": (
        ("landmarks",),
        _OURS,
        (
            _Full("segformer", "mattmdjaga/segformer_b2_clothes", "MIT", _HUB, "hub"),
            _Full(
                "fashn",
                "fashn-ai/fashn-human-parser",
                "NVIDIA SegFormer licence (non-commercial)",
                _HUB,
                "hub",
                automatic=False,
            ),
        ),
    ),
    "caption": (
        ("template",),
        _OURS,
        (
            _Full("blip", "Salesforce/blip-image-captioning-base", "BSD-3-Clause", _HUB, "hub"),
            _Full(
                "blip2",
                "Salesforce/blip2-opt-2.7b",
                "MIT (code), OPT-175B licence (weights, non-commercial)",
                _HUB,
                "hub",
                automatic=False,
            ),
        ),
    ),
    "normals": (
        ("compact", "body"),
        f"{_OURS}; weights CC0-1.0 (ours)",
        (
            _Full(
                "marigold",
                "prs-eth/marigold-normals-lcm-v0-1",
                "Apache-2.0",
                ("diffusers", "transformers"),
                "hub",
            ),
        ),
    ),
}

_TRAINABLE = ("compact",)
"""Embedded providers that also take a folder of weights of the user's own making."""


@dataclass(frozen=True)
class Selection:
    """A stage's provider by name, its weights if it is a full one, and the reason."""

    name: str
    weights: str | None
    why: str
    full: bool
    allow_download: bool = False


def select(stage: str, choice: str, *, device: str = "auto", gpu: bool | None = None) -> Selection:
    """Resolve a choice without loading anything.

    Args:
        stage: ``segmentation``, ``parsing``, ``caption`` or ``normals``.
        choice: see the module's docstring.
        device: where models may run: ``auto``, ``cpu`` or ``cuda``.
        gpu: whether a GPU can run models there; None asks this machine.

    Raises:
        HumanRefError: ``provider_unknown``; ``device_unknown``, ``cuda_missing``.
    """
    embedded, _, fulls = _STAGES[stage]
    name, _, weights = choice.partition(":")
    if name == "auto":
        return _automatic(stage, _device(device) == "cuda" if gpu is None else gpu, device)
    if name == "embedded":
        return Selection(embedded[0], None, "asked for the embedded one", full=False)
    if name in embedded and (not weights or name in _TRAINABLE):
        own = f" with {weights}" if weights else ""
        return Selection(name, weights or None, f"asked for{own}", full=False)
    for full in fulls:
        if name == full.name:
            own = f" with {weights}" if weights else ""
            return Selection(name, weights or full.weights, f"asked for{own}", True, True)
    names = ["auto", "embedded", *embedded, *(full.name for full in fulls)]
    raise HumanRefError(
        "provider_unknown",
        f"There is no {stage} provider called {name!r}.",
        f"Choose {', '.join(names[:-1])} or {names[-1]}.",
    )


def _automatic(stage: str, gpu: bool, device: str) -> Selection:
    embedded, _, fulls = _STAGES[stage]
    best = next(full for full in fulls if full.automatic)
    if not installed(*best.packages):
        why = f"embedded; {best.name} needs the extra [{best.extra}]"
    elif local_weights(best.weights) is None:
        why = f"embedded; the weights of {best.weights} are not on this machine"
    elif not gpu and device == "cpu":
        why = f"embedded; {best.name} has its weights here but the CPU was asked for"
    elif not gpu:
        why = f"embedded; {best.name} has its weights here but no GPU to run on"
    else:
        return Selection(best.name, best.weights, "its weights are here and a GPU runs it", True)
    return Selection(embedded[0], None, why, full=False)


def _device(name: str) -> str:
    return str(choose_device(name).device)


def make_landmark_estimator(models: MediapipeModels) -> tuple[LandmarkEstimator, str]:
    """The landmark estimator and why."""
    return MediapipeLandmarks(models), "its models ship inside the mediapipe wheel"


def make_segmenter(
    choices: PerceptionChoices, photo: Photo, backdrop: Backdrop | None, models: MediapipeModels
) -> tuple[Segmenter, str]:
    """Who finds the silhouette of this photo, and why.

    A photo that is already cut out (own alpha channel, hard edge against one colour) is keyed
    whatever models are here, unless one was named: its silhouette is known exactly.
    """
    chosen = select("segmentation", choices.segmentation, device=choices.device)
    keyed = choices.segmentation in ("auto", "embedded")
    if keyed and photo.matte is not None:
        return KeyedSegmentation(), "the photo brings its own alpha channel"
    if keyed and backdrop is not None and backdrop.hard_cut:
        return KeyedSegmentation(), "the background is exactly one colour"
    if chosen.name == "keyed":
        return KeyedSegmentation(), chosen.why
    if chosen.name == "grabcut":
        return MediapipeGrabCut(models), chosen.why
    # Hub providers import torch and transformers: only when they run.
    from backend.perception.segmentation_hub import BirefnetSegmentation, MaskRcnnSegmentation

    weights, download = chosen.weights or "", chosen.allow_download
    device = _device(choices.device)
    if chosen.name == "birefnet":
        made: Segmenter = BirefnetSegmentation(weights, device=device, allow_download=download)
    else:
        made = MaskRcnnSegmentation(weights or None, device=device, allow_download=download)
    return made, chosen.why


def make_parser(choices: PerceptionChoices, cuts: CutLines) -> tuple[Parser, str]:
    """Who finds the regions, and why."""
    chosen = select("parsing", choices.parsing, device=choices.device)
    if not chosen.full:
        return LandmarkParsing(cuts), chosen.why
    from backend.perception.parsing_hub import SegformerParsing

    parser = SegformerParsing(
        chosen.weights or "",
        device=_device(choices.device),
        allow_download=chosen.allow_download,
        cuts=cuts,
    )
    return parser, chosen.why


def make_captioner(choices: PerceptionChoices) -> tuple[Captioner, str]:
    """Who describes the person, and why."""
    chosen = select("caption", choices.caption, device=choices.device)
    if not chosen.full:
        return TemplateCaption(), chosen.why
    from backend.perception.caption_hub import Blip2Caption, BlipCaption

    kind = Blip2Caption if chosen.name == "blip2" else BlipCaption
    made = kind(
        chosen.weights or "",
        device=_device(choices.device),
        allow_download=chosen.allow_download,
    )
    return made, chosen.why


def make_normal_estimator(
    choices: PerceptionChoices, overrides: Overrides
) -> tuple[NormalEstimator, str]:
    """Who estimates normals, and why; the user's own maps go before any model."""
    front, back = overrides.normals_front, overrides.normals_back
    if front is not None and back is not None:
        return UserNormals(BodyNormals(), front, back), "you brought both maps"
    chosen = select("normals", choices.normals, device=choices.device)
    made: NormalEstimator = BodyNormals()
    if chosen.name == "compact":
        from backend.perception.compact_normals import CompactNormals
        from backend.perception.normal_weights import SHIPPED, load_normal_network

        folder = Path(chosen.weights) if chosen.weights else SHIPPED
        made = CompactNormals(load_normal_network(folder), _device(choices.device))
    elif chosen.full:
        from backend.perception.normals_hub import MarigoldNormals

        made = MarigoldNormals(
            chosen.weights or "",
            device=_device(choices.device),
            allow_download=chosen.allow_download,
        )
    if front is not None or back is not None:
        side = "front" if front is not None else "back"
        return UserNormals(made, front, back), f"you brought the {side} map; else {chosen.why}"
    return made, chosen.why


def provider_report(
    choices: PerceptionChoices | None = None, *, gpu: bool | None = None
) -> list[ProviderRow]:
    """Who would do each stage on this machine, why, under which licence, and what would be better."""
    wanted = choices or PerceptionChoices()
    rows = [
        ProviderRow(
            "landmarks",
            MediapipeLandmarks.name,
            "its models ship inside the mediapipe wheel",
            "--pose takes a corrected pose.json or an SMPL-X fit",
            _MEDIAPIPE_LICENCE,
        )
    ]
    own: dict[str, str] = {
        "segmentation": "--mask",
        "parsing": "--regions",
        "caption": "--caption",
        "normals": "--normals-front and --normals-back",
    }
    for stage, (_, licence, fulls) in _STAGES.items():
        chosen = select(stage, getattr(wanted, stage), device=wanted.device, gpu=gpu)
        full = next((f for f in fulls if f.name == chosen.name), None)
        best = next(f for f in fulls if f.automatic)
        improve = f"your own with {own[stage]}"
        if full is None:
            improve = (
                f'{best.weights} ({best.licence}; pip install "humanref[{best.extra}]", download '
                f"its weights, use a GPU), or {improve}"
            )
        rows.append(
            ProviderRow(
                stage, chosen.name, chosen.why, improve, licence if full is None else full.licence
            )
        )
    return rows

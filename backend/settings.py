"""Typed settings, one frozen dataclass a stage, and the presets.

``draft`` and ``standard`` are ours, tuned by measurement on two CPU cores; ``paper`` follows the
paper's text and, where it is silent, the released configuration (docs/method.md lists both).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

Preset = Literal["draft", "standard", "paper"]
Guidance = Literal["ref-sds", "mirror", "ref-sds-global", "sds", "none", "vsd"]
# What needs a diffusion prior.
PRIOR_GUIDANCE: tuple[Guidance, ...] = ("ref-sds", "ref-sds-global", "sds", "vsd")
Device = Literal["auto", "cpu", "cuda"]
EncodingName = Literal["auto", "reference", "numba", "triton", "tinycudann"]


MIN_TEXTURE, MAX_TEXTURE = 256, 4096
"""Sides a baked texture may have, pixels; the largest takes about 1.5 GB while it is painted."""


@dataclass(frozen=True)
class FieldSettings:
    """The hash-encoded SDF and colour (3.2)."""

    levels: int = 12
    """Resolutions of the hash grid."""
    log2_table: int = 17
    """Entries of one level's table, log2."""
    base_resolution: int = 16
    """Cells along an edge of the cube at the coarsest level."""
    max_resolution: int = 512
    """Cells along an edge of the cube at the finest level."""
    hidden: int = 64
    """Width of both two-layer networks."""
    sdf_levels: int = 8
    """The SDF network reads only these coarsest levels; colour reads all."""
    body_grid: int = 192
    """Edge of the grid that holds the body's SDF, which the networks correct."""
    alpha_init: float = 0.5
    """p0 of the learnable density sharpness alpha = exp(10 p)."""
    encoding: EncodingName = "auto"
    """Implementation of the hash encoding."""


@dataclass(frozen=True)
class RenderingSettings:
    """Sampling rays in the narrow band around the surface."""

    samples: int = 12
    """Samples a ray."""
    band: float = 7.0
    """Half width of the sampled interval, in units of 1/alpha."""
    grid_resolution: int = 64
    """Edge of the cached SDF grid that finds a ray's crossing."""
    grid_refresh: int = 25
    """Steps between refreshes of that grid."""


@dataclass(frozen=True)
class LossSettings:
    """Weights of Eq. 5 and of the terms we add."""

    rgb: float = 1e4
    """L2 on the photo's pixels."""
    iou: float = 1000.0
    """Soft IoU of the silhouette (Eq. 4)."""
    normal: float = 200.0
    """L2 on front and back normals, gated by their trust."""
    sdf: float = 3000.0
    """L1 to the body's SDF, less where clothing is loose."""
    smooth: float = 200.0
    """Smoothness of rendered normals."""
    eikonal: float = 50.0
    """|gradient| = 1 near the surface."""
    guidance: float = 2000.0
    """Unseen sides (the mirror baseline)."""
    sds: float = 1e-3
    """Distillation from a diffusion prior: Ref-SDS, or SDS and VSD to compare (sum over a latent)."""
    perceptual: float = 20.0
    """Features of the render against those of its refined picture."""
    side_normal: float = 20.0
    """L2 to the body's normals in the distilled views, less where clothing is loose."""


@dataclass(frozen=True)
class OptimizationSettings:
    """The loop that fits the field (3.3)."""

    steps: int = 800
    """Gradient steps."""
    resolutions: tuple[int, ...] = (64, 128, 256, 512)
    """Coarse to fine: side of the rendered picture, in equal parts of ``resolution_until``."""
    resolution_until: float = 0.25
    """Fraction of the run at whose end the finest resolution is reached."""
    rays: int = 4096
    """Rays a step (a random subset of the picture's pixels when it has more)."""
    unseen_share: float = 0.4
    """Share of the rays that go to unseen views (back normals, guidance)."""
    learning_rate: float = 1e-3
    """Adam, of the networks; the hash tables take ``table_learning_rate``."""
    alpha_learning_rate: float = 4e-3
    """Adam, of the density's sharpness p."""
    table_learning_rate: float = 1e-2
    """Adam, of the hash tables."""
    decay_from: float = 0.4
    """Fraction of the run after which the learning rates fall exponentially."""
    final_learning_rate: float = 0.1
    """Learning rates at the end, relative to their start."""
    first_preview: int = 10
    """Step of the first preview mesh: the body with the photo's first colours, soon after the fit."""
    preview_every: int = 50
    """Steps between preview meshes."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    losses: LossSettings = dataclasses.field(default_factory=LossSettings)


@dataclass(frozen=True)
class PriorSettings:
    """Distillation from a diffusion prior (3.3); mirror and none read nothing of it.

    The defaults are for Stable Diffusion; :data:`COMPACT_PRIOR` are those of the prior that ships.
    """

    folder: Path | None = None
    """A diffusers folder, or one that train-prior made. Neither this nor ``repo``: the prior that ships."""
    repo: str | None = None
    """A hub id that is already on this machine."""
    revision: str | None = None
    """Commit hash of ``repo``."""
    strength: float = 1.0
    """The distillation's gradient is multiplied by this: latents of different priors differ in size."""
    guidance_scale: float = 7.5
    """Classifier-free guidance of Ref-SDS, VSD and the refinement."""
    text_guidance_scale: float = 100.0
    """The same of plain SDS, which needs far more of it."""
    t_min: int = 200
    """Lowest timestep that is drawn (inclusive)."""
    t_max: int = 600
    """Highest timestep that is drawn at the start (inclusive)."""
    t_max_end: int = 300
    """The same at the end, linear in between."""
    start: float = 0.05
    """Share of the run before the first distillation."""
    warm_start: bool = False
    """Until then the mirror baseline paints the unseen sides, so that the prior corrects instead of
    inventing (Ref-SDS and Ref-SDS without regions only)."""
    anchor: float = 0.0
    """Weight of the mirror baseline after its warm start, when it keeps the texture that the prior has
    nothing against."""
    every: int = 1
    """Distil in one of so many steps."""
    gamma: float = 0.3
    """Attention to other regions of the reference is multiplied by this (3.3.2)."""
    background_is_region: bool = True
    """Whether background prefers background."""
    target_regions: Literal["body", "bands"] = "body"
    """Regions of a view: the posed body's own parts, or the paper's horizontal bands."""
    hide_face: bool = True
    """From behind the reference's face cannot be seen."""
    reference_noise: Literal["cached", "shared", "clean"] = "cached"
    """The reference's noise: fixed a bucket of timesteps, its features computed once; the target's own,
    with a fresh pass of the reference in every step; or none, at t = 0, for priors trained so."""
    kept_noises: int = 0
    """Ref-SDS towards the mean of so many predictions, kept for ``bank_refresh`` steps for each of
    ``bank_views`` views; 0: one prediction in each step, forgotten after it, as in the paper."""
    kept_passes: int = 1
    """Kept predictions are made so many times in a row, each from what the one before corrected."""
    tolerance: float = 0.0
    """Kept predictions leave the photo's texture alone where mean colours differ by much less; 0: never."""
    photo_rules: bool = False
    """A prior does not touch the colours of what faces the photo's camera."""
    back_share: float = 0.1
    """Share of the distilled views that are exactly the back; the others have any azimuth."""
    elevation: float = 20.0
    """Those others look down or up by at most so many degrees."""
    refine_from: float = 0.8
    """Share of the run from which on views are also refined in several steps (3.3.3)."""
    refine_steps: int = 30
    """Steps of a whole UniPC denoising."""
    refine_last: int = 6
    """Of those the last ones are run, from the noised render."""
    bank_views: int = 24
    """Views whose refined pictures are kept."""
    bank_refresh: int = 200
    """Steps after which a refined picture is made anew."""
    features: Literal["auto", "effnet-lite0", "lpips-vgg"] = "auto"
    """Network of the perceptual loss; auto takes LPIPS-VGG where it is installed with its weights."""
    lora_rank: int = 4
    """VSD: rank of the network that learns what the renders look like."""
    lora_learning_rate: float = 1e-4
    """VSD: its AdamW."""


COMPACT_PRIOR = PriorSettings(
    strength=3e6,
    guidance_scale=1.0,
    t_min=550,
    t_max=750,
    t_max_end=600,
    start=0.35,
    warm_start=True,
    anchor=1.0,
    every=2,
    kept_noises=4,
    kept_passes=2,
    tolerance=0.2,
    hide_face=False,
    reference_noise="clean",
    photo_rules=True,
    elevation=10.0,
    refine_from=0.35,
    bank_views=11,
    bank_refresh=400,
)
"""How the compact prior is distilled, chosen by measurement on validation people."""


@dataclass(frozen=True)
class MeshingSettings:
    """Field to mesh."""

    resolution: int = 256
    """Edge of the evaluation grid."""
    faces: int = 60_000
    """Triangles after decimation."""
    texture: int = 2048
    """Side of the baked texture in pixels; 0 leaves the character with vertex colours alone."""


@dataclass(frozen=True)
class GenerateSettings:
    """Everything ``generate`` needs to know besides the photo."""

    preset: Preset = "standard"
    guidance: Guidance = "ref-sds"
    seed: int = 0
    device: Device = "auto"
    height_cm: float = 175.0
    """Stature of the finished character."""
    working_resolution: int = 512
    """Side of the square crop that the losses see."""
    field: FieldSettings = dataclasses.field(default_factory=FieldSettings)
    rendering: RenderingSettings = dataclasses.field(default_factory=RenderingSettings)
    optimization: OptimizationSettings = dataclasses.field(default_factory=OptimizationSettings)
    prior: PriorSettings = COMPACT_PRIOR
    meshing: MeshingSettings = dataclasses.field(default_factory=MeshingSettings)


def preset_settings(preset: Preset) -> GenerateSettings:
    """The settings a preset stands for."""
    standard = GenerateSettings()
    if preset == "standard":
        return standard
    if preset == "draft":
        return replace(
            standard,
            preset="draft",
            field=replace(standard.field, levels=10, log2_table=16, max_resolution=384),
            optimization=replace(standard.optimization, steps=160, preview_every=40),
            meshing=replace(standard.meshing, resolution=192, texture=1024),
        )
    return replace(
        standard,
        preset="paper",
        field=FieldSettings(levels=16, log2_table=19, max_resolution=4096, alpha_init=0.3),
        rendering=replace(standard.rendering, samples=16),
        optimization=replace(
            standard.optimization,
            steps=12_000,
            rays=512 * 512,
            table_learning_rate=1e-3,
            alpha_learning_rate=1e-3,
            final_learning_rate=1.0,
            preview_every=100,
            losses=LossSettings(
                rgb=1e4,
                iou=1e4,
                normal=100.0,
                sdf=100.0,
                smooth=5.0,
                eikonal=0.1,
                sds=1e-3,
                perceptual=20.0,
                side_normal=0.0,
            ),
        ),
        prior=PriorSettings(
            t_max_end=600,
            background_is_region=False,
            target_regions="bands",
            hide_face=False,
        ),
        meshing=replace(standard.meshing, resolution=512),
    )

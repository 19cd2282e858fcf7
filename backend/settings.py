"""Typed settings, one frozen dataclass a stage, and the presets.

``draft`` and ``standard`` are ours, tuned by measurement on two CPU cores; ``paper`` follows the
paper's text and, where it is silent, the released configuration (docs/method.md lists both).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Literal

Preset = Literal["draft", "standard", "paper"]
Guidance = Literal["mirror", "none"]
Device = Literal["auto", "cpu", "cuda"]
EncodingName = Literal["auto", "reference", "numba", "triton", "tinycudann"]


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
class MeshingSettings:
    """Field to mesh."""

    resolution: int = 256
    """Edge of the evaluation grid."""
    faces: int = 60_000
    """Triangles after decimation."""


@dataclass(frozen=True)
class GenerateSettings:
    """Everything ``generate`` needs to know besides the photo."""

    preset: Preset = "standard"
    guidance: Guidance = "mirror"
    seed: int = 0
    device: Device = "auto"
    height_cm: float = 175.0
    """Stature of the finished character."""
    working_resolution: int = 512
    """Side of the square crop that the losses see."""
    field: FieldSettings = dataclasses.field(default_factory=FieldSettings)
    rendering: RenderingSettings = dataclasses.field(default_factory=RenderingSettings)
    optimization: OptimizationSettings = dataclasses.field(default_factory=OptimizationSettings)
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
            meshing=replace(standard.meshing, resolution=192),
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
            losses=LossSettings(rgb=1e4, iou=1e4, normal=100.0, sdf=100.0, smooth=5.0, eikonal=0.1),
        ),
        meshing=MeshingSettings(resolution=512, faces=standard.meshing.faces),
    )

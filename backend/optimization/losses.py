"""The terms of Eq. 5 that need no diffusion prior, and the eikonal term we add."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rgb_loss(
    color: Float[Tensor, "r 3"], target: Float[Tensor, "r 3"], weight: Float[Tensor, "r"]
) -> Float[Tensor, ""]:
    """L_rgb (3.3.3): weighted mean squared error of rendered and photographed colours."""
    return ((color - target).square().mean(-1) * weight).sum() / weight.sum().clamp_min(1e-6)


def iou_loss(silhouette: Float[Tensor, "r"], target: Float[Tensor, "r"]) -> Float[Tensor, ""]:
    """L_IoU (Eq. 4): 1 - |S * S_I| / |S + S_I - S * S_I|."""
    intersection = (silhouette * target).sum()
    union = (silhouette + target - silhouette * target).sum()
    return 1.0 - intersection / union.clamp_min(1e-6)


def normal_loss(
    normal: Float[Tensor, "r 3"], target: Float[Tensor, "r 3"], weight: Float[Tensor, "r"]
) -> Float[Tensor, ""]:
    """L_norm (3.3.3): weighted mean squared distance of normals; weight 0 leaves a pixel out."""
    return ((normal - target).square().sum(-1) * weight).sum() / weight.sum().clamp_min(1.0)


def sdf_loss(
    sdf: Float[Tensor, "n"], body_sdf: Float[Tensor, "n"], tightness: Float[Tensor, "n"]
) -> Float[Tensor, ""]:
    """L_SDF (3.3.3): L1 to the body's SDF, less where clothing is loose (tightness < 1)."""
    return ((sdf - body_sdf).abs() * tightness).mean()


def smoothness_loss(
    normal: Float[Tensor, "p 2 3"], weight: Float[Tensor, "p"]
) -> Float[Tensor, ""]:
    """L_smooth (3.3.3): squared difference of the rendered normals of neighbouring pixels."""
    difference = (normal[:, 0] - normal[:, 1]).square().sum(-1)
    return (difference * weight).sum() / weight.sum().clamp_min(1.0)


def eikonal_loss(gradient: Float[Tensor, "n 3"], nearness: Float[Tensor, "n"]) -> Float[Tensor, ""]:
    """(|gradient| - 1)^2 near the surface: residual hash grids drift away from distances."""
    length = gradient.square().sum(-1).add(1e-12).sqrt()
    return ((length - 1.0).square() * nearness).sum() / nearness.sum().clamp_min(1.0)


def near_surface(sdf: Float[Tensor, "n"], alpha: Float[Tensor, ""]) -> Float[Tensor, "n"]:
    """How near a sample lies to the surface, 1 on it and falling with the density's own width."""
    return torch.exp(-0.5 * (alpha * sdf).square()).detach()

"""From signed distance to density, opacity and weights along a ray (3.2, Eq. 2 corrected).

Eq. 2 as printed tends to alpha / 2 on both sides of the surface. The VolSDF density that it means, with
s > 0 outside, is sigma(s) = alpha * (1/2 + 1/2 sign(s) expm1(-alpha |s|)): 0 far outside, alpha deep
inside. Between two samples the SDF is taken as linear, whose optical depth has a closed form.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

# Below this change of alpha * s over a segment the difference quotient loses more digits than the
# midpoint rule with its curvature term (whose error is of the fourth order) is wrong by.
_SERIES_BELOW = 0.03


def density(s: Float[Tensor, "*n"], alpha: Float[Tensor, ""]) -> Float[Tensor, "*n"]:
    """VolSDF density sigma in 1 / length; ``s`` and 1 / ``alpha`` in the same unit of length."""
    tail = 0.5 * torch.exp(-alpha * s.abs())
    return alpha * torch.where(s > 0, tail, 1.0 - tail)


def segment_optical_depth(
    s0: Float[Tensor, "*n"],
    s1: Float[Tensor, "*n"],
    delta: Float[Tensor, "*n"],
    alpha: Float[Tensor, ""],
) -> Float[Tensor, "*n"]:
    """Integral of :func:`density` along a segment of length ``delta``, SDF linear from s0 to s1.

    With F' = sigma it is delta (F(s1) - F(s0)) / (s1 - s0); F(s) = -exp(-alpha s) / 2 outside and
    alpha s - exp(alpha s) / 2 inside. Dimensionless, not negative, smooth where s1 meets s0.
    """
    a0, a1 = alpha * s0, alpha * s1
    rise = a1 - a0
    near = rise.abs() < _SERIES_BELOW
    tail = 0.5 * (torch.exp(-a0.abs()) - torch.exp(-a1.abs()))
    # min(a, 0), written so that its derivative at 0 is the mean of both sides, as the tail's is.
    linear = 0.5 * ((a1 - a1.abs()) - (a0 - a0.abs()))
    quotient = (linear + tail) / torch.where(near, torch.ones_like(rise), rise)
    middle = 0.5 * (a0 + a1)
    half_tail = 0.5 * torch.exp(-middle.abs())
    curved = half_tail * (1.0 + rise.square() / 24.0)
    series = torch.where(middle > 0, curved, 1.0 - curved)
    return alpha * delta * torch.where(near, series, quotient)


def segment_weights(
    optical_depth: Float[Tensor, "r k"],
) -> tuple[Float[Tensor, "r k"], Float[Tensor, "r"]]:
    """Share of each segment in the ray's colour, and the transmittance behind the last one.

    w_k = T_k (1 - exp(-tau_k)) with T_k = exp(-sum of the tau before k); the weights and the remaining
    transmittance sum to one.
    """
    through = torch.exp(-torch.cumsum(optical_depth, 1))
    before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], 1)
    return before - through, through[:, -1]

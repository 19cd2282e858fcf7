"""The fitted field: a hash-encoded residual over the body's SDF, and colour (3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backend.errors import HumanRefError
from backend.field.compiled_networks import evaluate_networks, evaluate_sdf
from backend.field.encodings.grid import FEATURES
from backend.field.encodings.protocol import HashEncoding
from backend.field.mlp import color_network
from backend.field.volume import sample_grid, sample_grid_with_gradient
from backend.settings import FieldSettings, OptimizationSettings

# Large temporaries page-fault; queries without gradients go through in pieces of this many points.
_QUERY_CHUNK = 32_768
# Coordinates end here, and one that is not a number is taken to be here: well outside the cube.
_FAR = 8.0
_TABLE_INIT = 1e-4


@dataclass(frozen=True)
class FieldSample:
    """The field at n points (field frame)."""

    sdf: Float[Tensor, "n"]
    """Signed distance in field units, positive outside."""
    gradient: Float[Tensor, "n 3"]
    """d sdf / d point: the outward normal, not normalised."""
    color: Float[Tensor, "n 3"]
    """sRGB in (0, 1)."""


class HumanField(nn.Module):
    """s(x) = SDF_body(x) + network(x), colour(x) and the density's sharpness alpha (3.2).

    The residual starts at exactly zero, so that step 0 is the body; no init fit is needed. Outside the
    cube the SDF is that of the nearest point of the cube plus the distance to it, hence positive.

    Args:
        settings: sizes of the grid and the networks.
        base_sdf: (n, n, n) over (z, y, x), outermost nodes on the faces of the cube [-1, 1]^3, signed
            distance in field units, positive outside.
        encoding: the hash encoding whose layout matches ``settings``.

    Raises:
        HumanRefError: ``field_settings_invalid`` if sizes disagree or the base is not a finite grid.
    """

    table: nn.Parameter
    base_sdf: Tensor

    def __init__(
        self,
        settings: FieldSettings,
        base_sdf: Float[Tensor, "a b c"],
        encoding: HashEncoding,
    ) -> None:
        super().__init__()
        if encoding.layout.levels != settings.levels or settings.sdf_levels < 1:
            raise HumanRefError(
                "field_settings_invalid",
                f"The encoding has {encoding.layout.levels} levels, the settings {settings.levels}.",
                "Build the encoding from the same settings.",
            )
        if min(base_sdf.shape) < 2 or not bool(torch.isfinite(base_sdf).all()):
            raise HumanRefError(
                "field_settings_invalid",
                "The body's distance grid is not a finite grid of at least 2 x 2 x 2 nodes.",
            )
        self.settings = settings
        self.encoding = encoding
        self.sdf_levels = min(settings.sdf_levels, settings.levels)
        layout, hidden = encoding.layout, settings.hidden
        self.table = nn.Parameter((torch.rand(layout.total, FEATURES) * 2.0 - 1.0) * _TABLE_INIT)
        self.sdf_w1 = nn.Parameter(_kaiming(hidden, FEATURES * self.sdf_levels + 3))
        self.sdf_w2 = nn.Parameter(_kaiming(hidden, hidden))
        self.sdf_w3 = nn.Parameter(torch.zeros(hidden))
        self.color_w1 = nn.Parameter(_kaiming(hidden, layout.width))
        self.color_w2 = nn.Parameter(_kaiming(hidden, hidden))
        self.color_w3 = nn.Parameter(_kaiming(3, hidden))
        self.sharpness = nn.Parameter(torch.tensor(float(settings.alpha_init)))
        self.register_buffer("base_sdf", base_sdf.contiguous(), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.table.device

    @property
    def alpha(self) -> Float[Tensor, ""]:
        """Sharpness of the density, exp(10 p), in 1 / field unit; learnable."""
        return torch.exp(10.0 * self.sharpness)

    @property
    def _weights(self) -> tuple[Tensor, ...]:
        sdf = (self.sdf_w1, self.sdf_w2, self.sdf_w3)
        return (*sdf, self.color_w1, self.color_w2, self.color_w3)

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Signed distance at ``points``, differentiable in the parameters."""
        if not torch.is_grad_enabled() and len(points) > _QUERY_CHUNK:
            return torch.cat([self.sdf(part) for part in torch.split(points, _QUERY_CHUNK)])
        points, inner = _into_cube(points)
        features = self.encoding(inner * 0.5 + 0.5, self.table, self.sdf_levels)
        residual: Tensor = evaluate_sdf(features, inner, *self._weights)
        outside: Tensor = torch.linalg.vector_norm(points - inner, dim=1)
        return residual + outside + sample_grid(self.base_sdf, inner)

    def color(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """sRGB colour at ``points``, differentiable in the parameters."""
        if not torch.is_grad_enabled() and len(points) > _QUERY_CHUNK:
            return torch.cat([self.color(part) for part in torch.split(points, _QUERY_CHUNK)])
        _, inner = _into_cube(points)
        features = self.encoding(inner * 0.5 + 0.5, self.table)
        color: Tensor = color_network(features, *self._weights[3:])
        return color

    def forward(self, points: Float[Tensor, "n 3"]) -> FieldSample:
        """SDF, its analytic gradient and colour at ``points``, differentiable in the parameters."""
        points, inner = _into_cube(points)
        base, base_gradient = sample_grid_with_gradient(self.base_sdf, inner)
        features, jacobian = self.encoding.with_jacobian(
            inner * 0.5 + 0.5, self.table, self.sdf_levels
        )
        # The encoding's cube has an edge of 1, the field's one of 2: hence the scale of 0.5.
        residual, slope, color = evaluate_networks(features, jacobian, inner, 0.5, *self._weights)
        beyond = points - inner
        distance = torch.linalg.vector_norm(beyond, dim=1)
        gradient = torch.where(
            beyond == 0.0, base_gradient + slope, beyond / distance.clamp(min=1e-12)[:, None]
        )
        return FieldSample(base + distance + residual, gradient, color)

    def parameter_groups(self, settings: OptimizationSettings) -> list[dict[str, Any]]:
        """Adam's parameter groups: the hash table, the networks and alpha, each with its rate."""
        networks = [p for name, p in self.named_parameters() if "_w" in name]
        return [
            {"name": "table", "params": [self.table], "lr": settings.table_learning_rate},
            {"name": "networks", "params": networks, "lr": settings.learning_rate},
            {"name": "alpha", "params": [self.sharpness], "lr": settings.alpha_learning_rate},
        ]


def _kaiming(rows: int, columns: int) -> Tensor:
    """Uniform weights that keep the variance through a ReLU."""
    bound = math.sqrt(6.0 / columns)
    return (torch.rand(rows, columns) * 2.0 - 1.0) * bound


def _into_cube(points: Tensor) -> tuple[Tensor, Tensor]:
    """The points made finite, and the nearest points of the cube."""
    finite = torch.nan_to_num(points.detach(), nan=_FAR).clamp(-_FAR, _FAR)
    return finite, finite.clamp(-1.0, 1.0)

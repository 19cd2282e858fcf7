"""The network of the compact normal estimator: photo and body normals to clothed normals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

CONDITIONS = 14
"""Input channels: colour over grey 3, silhouette 1, the body's front and back normals 3 + 3, and its
four regions as they lie in front, one channel each."""
FIRST_NORMAL = 4
"""Channel of the front normals' x; the back's follow the front's."""
OUTPUTS = 8
"""Front and back normals before they are made unit length, and the log of each one's error."""
FACING = (0.0, 0.0, 1.0, 0.0, 0.0, -1.0)
"""Front and back normals that face their camera: the start where there is no body."""


@dataclass(frozen=True)
class NormalNetworkShape:
    """Size of a network; equal shapes read each other's weights."""

    fold: int = 4
    """Pixels of an edge folded into channels: the network works at 1 / fold of the picture's side."""
    widths: tuple[int, ...] = (64, 112, 160, 224)
    """Channels at each level; every level halves the side."""
    blocks: int = 2
    """Residual blocks a level, on the way down and again on the way up."""
    groups: int = 16
    """Of every group normalisation."""


@dataclass(frozen=True)
class PredictedNormals:
    """Of both views in the front camera's pixels; normals of the back view are body-frame too."""

    front: Float[Tensor, "b 3 n n"]
    back: Float[Tensor, "b 3 n n"]
    front_log_error: Float[Tensor, "b n n"]
    """Log of the distance |estimate - truth| (chord, at most 2) that the network expects."""
    back_log_error: Float[Tensor, "b n n"]


class NormalNetwork(nn.Module):
    """A U-Net on folded pixels that adds to the body's normals what clothes change.

    ICON and ECON estimate clothed normals this way, from the photo and the body's normals (3.1).
    """

    def __init__(self, shape: NormalNetworkShape) -> None:
        super().__init__()
        self.shape = shape
        widths, groups = shape.widths, shape.groups
        area = shape.fold**2
        self.stem = nn.Conv2d(CONDITIONS * area, widths[0], 1)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        self.grow = nn.ModuleList()
        self.join = nn.ModuleList()
        self.up = nn.ModuleList()
        for k, width in enumerate(widths):
            self.down.append(_blocks(width, shape))
            if k:
                finer = widths[k - 1]
                self.shrink.append(nn.Conv2d(finer, width, 3, stride=2, padding=1))
                self.grow.append(nn.Conv2d(width, finer, 1))
                self.join.append(nn.Conv2d(2 * finer, finer, 1))
                self.up.append(_blocks(finer, shape))
        self.norm = nn.GroupNorm(groups, widths[0])
        self.head = nn.Conv2d(widths[0], OUTPUTS * area, 3, padding=1)
        # The untrained network answers with the body's own normals.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, conditions: Float[Tensor, "b c n n"]) -> PredictedNormals:
        """Conditions as :data:`CONDITIONS` lists them; the side is a multiple of :meth:`multiple`."""
        change = self.change(conditions)
        start = conditions[:, FIRST_NORMAL : FIRST_NORMAL + 6]
        facing = torch.tensor(FACING, dtype=start.dtype, device=start.device)[None, :, None, None]
        start = start + facing * (start == 0.0).all(1, keepdim=True)
        raw = start + change[:, :6]
        return PredictedNormals(
            front=unit(raw[:, :3]),
            back=unit(raw[:, 3:]),
            front_log_error=change[:, 6],
            back_log_error=change[:, 7],
        )

    def change(self, conditions: Float[Tensor, "b c n n"]) -> Float[Tensor, "b o n n"]:
        """What is added to the body's normals, and the log errors."""
        x = self.stem(functional.pixel_unshuffle(conditions, self.shape.fold))
        kept: list[Tensor] = []
        for k, blocks in enumerate(self.down):
            if k:
                kept.append(x)
                x = self.shrink[k - 1](x)
            x = blocks(x)
        for k in reversed(range(len(kept))):
            x = functional.interpolate(self.grow[k](x), scale_factor=2.0, mode="nearest")
            x = self.up[k](self.join[k](torch.cat([x, kept[k]], 1)))
        out = self.head(functional.silu(self.norm(x)))
        return functional.pixel_shuffle(out, self.shape.fold).float()

    @property
    def multiple(self) -> int:
        """What a picture's side must be a multiple of."""
        return self.shape.fold * 2 ** (len(self.shape.widths) - 1)


def unit(vectors: Float[Tensor, "b 3 n n"]) -> Float[Tensor, "b 3 n n"]:
    """Vectors over the second axis made unit length (torch's own normalize is slow along it)."""
    return vectors * (vectors.square().sum(1, keepdim=True) + 1e-8).rsqrt()


class _Block(nn.Module):
    """Two normalised 3 x 3 convolutions beside the identity."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.silu(self.norm1(x)))
        return x + self.conv2(functional.silu(self.norm2(y)))


def _blocks(width: int, shape: NormalNetworkShape) -> nn.Sequential:
    return nn.Sequential(*(_Block(width, shape.groups) for _ in range(shape.blocks)))

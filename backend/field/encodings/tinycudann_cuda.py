"""tiny-cuda-nn's own grid encoding over our table, where the user has installed it.

tiny-cuda-nn offers products with its Jacobian, never the Jacobian itself, which the field's analytic
normals need; those queries go to ``slopes``, the encoding that would run without tiny-cuda-nn.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from backend.errors import HumanRefError
from backend.field.encodings.grid import FEATURES, HashGridLayout
from backend.field.encodings.protocol import HashEncoding


def grid_config(layout: HashGridLayout, levels: int) -> dict[str, Any]:
    """tiny-cuda-nn's description of the coarsest ``levels`` levels of our grid."""
    return {
        "otype": "Grid",
        "type": "Hash",
        "n_levels": levels,
        "n_features_per_level": FEATURES,
        "log2_hashmap_size": layout.log2_table,
        "base_resolution": layout.base_resolution,
        "per_level_scale": layout.growth,
        "interpolation": "Linear",
    }


def installed() -> bool:
    """True where a ``tinycudann`` package is found (it may still fail to load)."""
    return find_spec("tinycudann") is not None


def load_tinycudann() -> Any:
    """Import tiny-cuda-nn.

    Raises:
        HumanRefError: ``encoding_unavailable`` with the reason (built for another GPU or torch).
    """
    try:
        return importlib.import_module("tinycudann")
    except (ImportError, OSError, RuntimeError) as error:
        raise HumanRefError(
            "encoding_unavailable",
            f"tiny-cuda-nn cannot be loaded: {str(error).splitlines()[0] if str(error) else error!r}.",
            "Build it for this GPU and torch, or choose the encoding 'triton'.",
        ) from error


class TinyCudaEncoding:
    """Features by tiny-cuda-nn in float32, Jacobians by ``slopes``; CUDA only.

    Raises:
        HumanRefError: ``encoding_unavailable`` if tiny-cuda-nn does not load or counts other entries.
    """

    name = "tinycudann"

    def __init__(self, layout: HashGridLayout, slopes: HashEncoding) -> None:
        self.layout = layout
        self._slopes = slopes
        self._tcnn = load_tinycudann()
        self._grids: dict[int, Any] = {}
        entries = self._grid(layout.levels).params.numel() // FEATURES
        if entries != layout.total:
            raise HumanRefError(
                "encoding_unavailable",
                f"This tiny-cuda-nn lays the grid out in {entries} entries, not {layout.total}.",
                "Choose the encoding 'triton', and report the version of tiny-cuda-nn.",
            )

    def __call__(
        self, x: Float[Tensor, "n 3"], table: Float[Tensor, "t 2"], levels: int | None = None
    ) -> Float[Tensor, "n d"]:
        """See :class:`backend.field.encodings.protocol.HashEncoding`."""
        count = self.layout.levels if levels is None else levels
        grid = self._grid(count)
        inside = torch.nan_to_num(x.detach(), nan=0.0).clamp(0.0, 1.0)
        own = table[: self.layout.offsets[count]].reshape(-1)
        # The module's own call with our table in place of its parameters, padded as it pads.
        granularity = int(self._tcnn.modules.BATCH_SIZE_GRANULARITY)
        padded = torch.nn.functional.pad(inside, (0, 0, 0, -len(inside) % granularity))
        features: Tensor = self._tcnn.modules._module_function.apply(
            grid.native_tcnn_module, padded.contiguous(), own.contiguous(), grid.loss_scale
        )
        return features[: len(x), : FEATURES * count]

    def with_jacobian(
        self,
        x: Float[Tensor, "n 3"],
        table: Float[Tensor, "t 2"],
        jacobian_levels: int | None = None,
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 3 j"]]:
        """See :class:`backend.field.encodings.protocol.HashEncoding`."""
        return self._slopes.with_jacobian(x, table, jacobian_levels)

    def _grid(self, levels: int) -> Any:
        if levels not in self._grids:
            config = grid_config(self.layout, levels)
            self._grids[levels] = self._tcnn.Encoding(3, config, dtype=torch.float32)
        return self._grids[levels]

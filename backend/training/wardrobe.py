"""The assets folder: what hangs in it, what is missing, and what is kept for validation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from backend.errors import HumanRefError
from backend.training.base_body import Topology
from backend.training.makehuman import Garment, read_garment
from backend.training.triangles import triangulate

Split = Literal["train", "validation"]

_HELD_OUT_SHARE = 5
_TEXTURE_SIDE = 512
_HINT = "Give the base folder of the MakeHuman community's CC0 assets (see examples/README.md)."


def members(names: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """The names of a split: a fifth (at least one) is held out, chosen by the names alone.

    Adding an asset may move the border; within one folder it never depends on seed or count.
    """
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held_out = set(ranked[: max(1, round(len(ranked) / _HELD_OUT_SHARE))])
    return tuple(name for name in names if (name in held_out) == (split == "validation"))


@dataclass(frozen=True)
class Worn:
    """A garment as it is used again and again: read, triangulated, its weights blended."""

    garment: Garment
    faces: Int[np.ndarray, "f 3"]
    uv_faces: Int[np.ndarray, "f 3"]
    weights: Float[np.ndarray, "v b"]
    image: UInt8[np.ndarray, "h w 4"] | None
    """Diffuse texture, at most 512 pixels a side; None where the asset has none."""


class Wardrobe:
    """Names of all assets of a folder, and the garments read so far."""

    def __init__(self, folder: Path) -> None:
        """List a folder in MakeHuman's layout (``clothes/NAME/NAME.mhclo``, ``hair/...``).

        Raises:
            HumanRefError: ``assets_missing`` when there is no such folder, ``assets_partial`` naming
                everything that is missing in it.
        """
        if not folder.is_dir():
            raise HumanRefError("assets_missing", f"There is no assets folder {folder}.", _HINT)
        self.folder = folder
        clothes = _names(folder / "clothes")
        self.outfits = tuple(name for name in clothes if "suit" in name)
        self.shoes = tuple(name for name in clothes if name.startswith("shoes"))
        self.hair = _names(folder / "hair")
        self.eyebrows = _names(folder / "eyebrows")
        self.eyelashes = _names(folder / "eyelashes")
        irises = (folder / "eyes" / "materials").glob("*_eye.png")
        self.irises = tuple(sorted(path.name.removesuffix("_eye.png") for path in irises))
        self._worn: dict[tuple[str, str], Worn] = {}
        self._check()

    def _check(self) -> None:
        wanted = (
            ("clothes/*suit*/*.mhclo (outfits)", len(self.outfits), 2),
            ("clothes/shoes*/*.mhclo", len(self.shoes), 1),
            ("hair/*/*.mhclo", len(self.hair), 2),
            ("eyebrows/*/*.mhclo", len(self.eyebrows), 1),
            ("eyelashes/*/*.mhclo", len(self.eyelashes), 1),
            ("eyes/high-poly/high-poly.mhclo", int("high-poly" in _names(self.folder / "eyes")), 1),
            ("eyes/materials/*_eye.png", len(self.irises), 1),
        )
        missing = [f"{what} ({have} of {need})" for what, have, need in wanted if have < need]
        if missing:
            raise HumanRefError(
                "assets_partial",
                f"The assets folder {self.folder} lacks {', '.join(missing)}.",
                _HINT,
            )

    def wear(self, kind: str, name: str, topology: Topology) -> Worn:
        """A garment, read once.

        Raises:
            HumanRefError: ``asset_broken``.
        """
        if (kind, name) not in self._worn:
            path = self.folder / kind / name / f"{name}.mhclo"
            garment = read_garment(path)
            if garment.anchors.max(initial=0) >= len(topology.weights):
                raise HumanRefError(
                    "asset_broken",
                    f"The asset {path} hangs on base vertices that the body does not have.",
                    _HINT,
                )
            diffuse = garment.maps.get("diffuse")
            self._worn[kind, name] = Worn(
                garment=garment,
                faces=triangulate(garment.mesh.faces),
                uv_faces=triangulate(garment.mesh.uv_faces),
                weights=garment.skin_weights(topology.weights),
                image=None if diffuse is None else read_texture(diffuse),
            )
        return self._worn[kind, name]

    def iris(self, color: str) -> UInt8[np.ndarray, "h w 4"]:
        """The eye texture of a colour."""
        return read_texture(self.folder / "eyes" / "materials" / f"{color}_eye.png")


def read_texture(path: Path) -> UInt8[np.ndarray, "h w 4"]:
    """An image as RGBA, at most 512 pixels a side. Raises HumanRefError ``asset_broken``."""
    try:
        with Image.open(path) as image:
            picture = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        raise HumanRefError(
            "asset_broken", f"The picture {path} cannot be read: {error}.", _HINT
        ) from error
    picture.thumbnail((_TEXTURE_SIDE, _TEXTURE_SIDE))
    return np.asarray(picture)


def _names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    found = (path.name for path in folder.iterdir() if (path / f"{path.name}.mhclo").is_file())
    return tuple(sorted(found))

"""Who a person is: everything random about one synthetic person, drawn from its own seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backend.training.fabrics import FAMILIES, Fabric, sample_fabric
from backend.training.poses import sample_pose
from backend.training.wardrobe import Split, Wardrobe, members

STYLES = (
    "jumper_trousers",
    "shirt_skirt",
    "dress",
    "long_dress",
    "coat_trousers",
    "coat_dress",
    "hoodie_shorts",
    "wide_trousers",
)
_SHELL_SHARE = 0.55
_HANGING = ("dress", "skirt", "coat")
"""Styles whose wearers take small steps: a tube is not simulated cloth."""

_SKINS = (
    (0.86, 0.69, 0.61),
    (0.78, 0.59, 0.49),
    (0.70, 0.50, 0.39),
    (0.55, 0.37, 0.28),
    (0.39, 0.26, 0.20),
    (0.28, 0.19, 0.15),
)
_HAIR_COLORS = (
    (0.07, 0.06, 0.055),
    (0.22, 0.14, 0.09),
    (0.38, 0.25, 0.15),
    (0.68, 0.54, 0.34),
    (0.46, 0.20, 0.10),
    (0.55, 0.54, 0.53),
)


@dataclass(frozen=True)
class Casting:
    """One person before they are built."""

    seed: str
    phenotype: dict[str, float]
    pose: Float[np.ndarray, "55 3"]
    outfit: str
    """An asset's name, or ``shell:STYLE``."""
    shoes: str
    hair: str
    eyebrows: str
    eyelashes: str
    iris: str
    skin: tuple[float, float, float]
    stubble: float
    hair_color: Float[np.ndarray, "3"]
    fabrics: tuple[Fabric, Fabric, Fabric, Fabric]
    """Upper body, lower body, shoes, and a coat or hood."""
    own_colors: bool
    """The outfit keeps its own texture."""
    cut: Float[np.ndarray, "8"]
    """Uniform in [0, 1]: lengths and widths of shells."""


def random_for(seed: int, split: Split, number: int) -> np.random.Generator:
    """The generator of one person: neither their neighbours nor the count change it."""
    digest = hashlib.sha256(f"humanref-people/{seed}/{split}/{number}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def cast(wardrobe: Wardrobe, *, seed: int, split: Split, number: int, turn: float) -> Casting:
    """Draw person ``number`` of a split.

    Args:
        wardrobe: what there is to wear.
        seed: of the whole set.
        split: whose outfits, hair and families of fabric are used; the splits share none.
        number: which person.
        turn: standard deviation of the turn away from the camera, radians.
    """
    rng = random_for(seed, split, number)
    shell = rng.random() < _SHELL_SHARE
    styles, outfits = members(STYLES, split), members(wardrobe.outfits, split)
    outfit = f"shell:{rng.choice(styles)}" if shell else str(rng.choice(outfits))
    female = _female(outfit, rng)
    ancestry = rng.dirichlet([0.7, 0.7, 0.7])
    phenotype = {
        "gender": float(rng.uniform(0.7, 1.0) if female else rng.uniform(0.0, 0.3)),
        "age": float(rng.uniform(0.5, 0.85)),
        "muscle": float(rng.uniform(0.3, 0.75)),
        "weight": float(rng.uniform(0.3, 0.75)),
        "height": float(rng.uniform(0.3, 0.75)),
        "proportions": float(rng.uniform(0.4, 0.9)),
        **dict(zip(("african", "asian", "caucasian"), map(float, ancestry), strict=True)),
    }
    families = members(FAMILIES, split)
    skin = np.array(_SKINS[rng.integers(len(_SKINS))]) * rng.uniform(0.93, 1.07)
    hair_color = np.array(_HAIR_COLORS[rng.integers(len(_HAIR_COLORS))]) * rng.uniform(0.75, 1.2)
    relief = 0.10
    return Casting(
        seed=f"{seed}/{split}/{number}",
        phenotype=phenotype,
        pose=sample_pose(rng, calm=any(word in outfit for word in _HANGING), turn=turn),
        outfit=outfit,
        shoes=str(rng.choice(wardrobe.shoes)),
        hair=str(rng.choice(members(wardrobe.hair, split))),
        eyebrows=str(rng.choice(wardrobe.eyebrows)),
        eyelashes=str(rng.choice(wardrobe.eyelashes)),
        iris=str(rng.choice(wardrobe.irises)),
        skin=(float(skin[0]), float(skin[1]), float(skin[2])),
        stubble=0.0 if female else float(rng.choice([0.0, rng.uniform(0.0, 0.6)])),
        hair_color=hair_color,
        fabrics=(
            sample_fabric(rng, families, relief),
            sample_fabric(rng, families, relief),
            sample_fabric(rng, families, 0.0),
            sample_fabric(rng, families, relief),
        ),
        own_colors=bool(rng.random() < 0.2),
        cut=rng.random(8),
    )


def _female(outfit: str, rng: np.random.Generator) -> bool:
    """Mostly the sex that a garment is cut for, sometimes the other."""
    if outfit.startswith("female") or "dress" in outfit or "skirt" in outfit:
        return bool(rng.random() < 0.9)
    if outfit.startswith("male"):
        return bool(rng.random() < 0.2)
    return bool(rng.random() < 0.5)

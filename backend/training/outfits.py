"""Which shells make up each style of clothes, with lengths and widths drawn for the person."""

from __future__ import annotations

import numpy as np

from backend.training.base_body import BaseShape
from backend.training.casting import Casting
from backend.training.fabrics import Fabric
from backend.training.shells import Shell, hood, landmarks, skirt, top, trousers


def make_shells(shape: BaseShape, casting: Casting) -> list[tuple[str, Shell, Fabric]]:
    """Name, shell and cloth of every piece of the casting's style (rest pose)."""
    marks = landmarks(shape)
    style = casting.outfit.removeprefix("shell:")
    upper, lower, _, outer = casting.fabrics
    length, width, sleeve, drop, loose, extra, folds, gap = casting.cut
    arm = float(np.interp(sleeve, [0.0, 0.45, 0.55, 1.0], [0.25, 0.5, 0.92, 0.97]))
    at_hip = marks.hip + 0.02 - 0.08 * float(drop)
    pieces: list[tuple[str, Shell, Fabric]] = []

    def add_top(name: str, hem: float, offset: float, fabric: Fabric, slit: float = 0.0) -> None:
        # Coats have long sleeves whatever is worn under them.
        reach = 0.95 if name == "coat" else arm
        made = top(shape, marks, hem=hem, sleeve=reach, offset=offset, opening=slit)
        pieces.append((name, made, fabric))

    def add_skirt(hem: float, offset: float, fabric: Fabric, slit: float = 0.0) -> None:
        wide = 0.03 + (0.12 if style.startswith("coat") else 0.30) * float(width) ** 2
        made = skirt(
            shape,
            marks,
            hem=hem,
            offset=offset,
            flare=wide,
            folds=0.004 + 0.018 * float(folds * width),
            opening=slit,
        )
        pieces.append(("skirt", made, fabric))

    def add_trousers(hem: float, offset: float, flare: float) -> None:
        made = trousers(shape, marks, hem=hem, offset=offset, flare=flare)
        pieces.append(("trousers", made, lower))

    long_hem = marks.height(1.9)
    slim = 0.008 + 0.012 * float(loose)
    if style == "dress":
        add_top("bodice", marks.waist - 0.03, slim, upper)
        add_skirt(marks.height(0.55 + 0.6 * float(length)), slim + 0.003, upper)
    elif style == "long_dress":
        add_top("bodice", marks.waist - 0.03, slim, upper)
        add_skirt(marks.height(1.3 + 0.5 * float(length)), slim + 0.003, upper)
    elif style == "shirt_skirt":
        add_top("shirt", marks.waist - 0.01, slim, upper)
        add_skirt(marks.height(0.5 + 0.9 * float(length)), slim + 0.008, lower)
    elif style == "coat_trousers":
        add_top("shirt", marks.waist - 0.06, 0.008, upper)
        add_trousers(long_hem, 0.010, 0.01)
        slit = 0.02 + 0.05 * float(gap)
        add_top("coat", marks.waist - 0.03, 0.028, outer, slit)
        add_skirt(marks.height(0.2 + 1.0 * float(length)), 0.030, outer, slit)
    elif style == "coat_dress":
        add_top("coat", marks.waist - 0.03, 0.028, outer)
        add_skirt(marks.height(0.6 + 0.8 * float(length)), 0.031, outer)
    elif style == "hoodie_shorts":
        add_trousers(marks.height(0.45 + 0.5 * float(length)), 0.012, 0.035 * float(width))
        add_top("hoodie", at_hip - 0.04, 0.024, upper)
        pieces.append(("hood", hood(shape, marks, offset=0.03 + 0.012 * float(extra)), upper))
    elif style == "wide_trousers":
        add_trousers(marks.height(1.9), slim, 0.02 + 0.05 * float(width))
        add_top("shirt", at_hip, slim + 0.006, upper)
    else:
        add_trousers(long_hem, 0.010 + 0.012 * float(width), 0.012)
        add_top("jumper", at_hip, slim + 0.010, upper)
    return pieces

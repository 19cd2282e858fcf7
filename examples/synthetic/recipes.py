"""The people we make: the example photo's and the ground-truth subjects'."""

from __future__ import annotations

from backend.training.figure import Recipe

Rotations = dict[str, tuple[float, float, float]]


def standing(
    *,
    arms: float = 20.0,
    elbows: float = 26.0,
    legs: float = 4.0,
    head: tuple[float, float, float] = (0.0, 0.0, 0.0),
    **extra: tuple[float, float, float],
) -> Rotations:
    """A relaxed stance from MakeHuman's rest pose (arms 49 degrees below the horizon, elbows bent).

    Degrees: ``arms`` lowers the arms, ``elbows`` straightens them, ``legs`` brings the feet
    together, ``head`` turns the head; ``extra`` adds bones ("lowerarm01_L" is "lowerarm01.L").
    """
    pose: Rotations = {"head": head}
    for letter, side in (("L", 1.0), ("R", -1.0)):
        pose[f"upperarm01.{letter}"] = (0.0, 0.0, -side * arms)
        pose[f"lowerarm01.{letter}"] = (elbows, 0.0, 0.0)
        pose[f"upperleg01.{letter}"] = (0.0, 0.0, -side * legs)
        pose[f"foot.{letter}"] = (0.0, 0.0, side * legs)
    for name, vector in extra.items():
        bone = name.replace("_L", ".L").replace("_R", ".R")
        before = pose.get(bone, (0.0, 0.0, 0.0))
        pose[bone] = tuple(a + b for a, b in zip(before, vector, strict=True))  # type: ignore[assignment]
    return pose


EXAMPLE = Recipe(
    phenotype={"gender": 0.0, "age": 0.62, "weight": 0.5, "muscle": 0.55, "height": 0.55},
    clothes=("male_casualsuit05", "shoes01"),
    hair="short02",
    pose=standing(head=(2.0, 4.0, 1.0)),
    skin=(0.76, 0.56, 0.46),
    recolor={"male_casualsuit05": (0.0, 0.9, 1.35), "short02": (0.0, 0.9, 0.5)},
    stubble=0.25,
)

SUBJECTS: dict[str, Recipe] = {
    "bob": Recipe(
        phenotype={"gender": 1.0, "age": 0.58, "weight": 0.45, "height": 0.5},
        clothes=("female_casualsuit01", "shoes02"),
        hair="bob02",
        pose=standing(
            arms=10.0,
            elbows=10.0,
            legs=2.0,
            head=(0.0, -8.0, 0.0),
            lowerarm01_L=(-25.0, 0.0, -20.0),
        ),
        skin=(0.80, 0.62, 0.54),
        eyes="green",
        eyebrows="eyebrow004",
        eyelashes="eyelashes02",
        recolor={"female_casualsuit01": (0.42, 0.8, 1.0), "bob02": (0.0, 1.3, 0.35)},
    ),
    "suit": Recipe(
        phenotype={"gender": 0.0, "age": 0.75, "weight": 0.62, "muscle": 0.5, "height": 0.4},
        clothes=("male_elegantsuit01", "shoes04"),
        hair="short04",
        pose=standing(
            arms=28.0, elbows=30.0, legs=6.0, head=(3.0, 6.0, 0.0), upperleg01_L=(0.0, 10.0, 3.0)
        ),
        skin=(0.47, 0.32, 0.25),
        eyebrows="eyebrow002",
        recolor={"male_elegantsuit01": (0.0, 1.0, 2.2), "short04": (0.0, 1.0, 1.4)},
    ),
    "sport": Recipe(
        phenotype={"gender": 1.0, "age": 0.55, "weight": 0.5, "muscle": 0.65, "height": 0.55},
        clothes=("female_sportsuit01", "shoes05"),
        hair="braid01",
        pose=standing(
            arms=-25.0,
            elbows=-15.0,
            legs=-3.0,
            head=(0.0, 12.0, 0.0),
            upperarm01_R=(0.0, 0.0, 38.0),
            upperleg01_R=(-14.0, 0.0, 0.0),
            lowerleg01_R=(18.0, 0.0, 0.0),
        ),
        skin=(0.62, 0.44, 0.34),
        eyes="brownlight",
        eyebrows="eyebrow007",
        eyelashes="eyelashes03",
        recolor={"female_sportsuit01": (0.30, 0.85, 1.1), "braid01": (0.0, 1.0, 1.0)},
    ),
}

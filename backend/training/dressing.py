"""From a casting to a clothed, posed person: layers of triangles with their paint."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from backend.training.base_body import BaseBody, BaseShape
from backend.training.casting import Casting
from backend.training.fabrics import Fabric
from backend.training.figure import blend_skin, skin_tint
from backend.training.outfits import make_shells
from backend.training.shells import landmarks
from backend.training.wardrobe import Wardrobe, Worn

_PATTERN_STATURE = 1.7
"""Patterns are laid out on a person of this height, metres."""


@dataclass(frozen=True)
class Layer:
    """One piece of a person, posed (metres, world frame)."""

    name: str
    kind: str
    """``body``, ``clothes``, ``shell``, ``hair``, ``eyebrows``, ``eyelashes`` or ``eyes``."""
    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    place: Float[np.ndarray, "v 3"]
    """Rest position on a person of 1.7 m with the soles at 0: where patterns live."""
    corner_uv: Float[np.ndarray, "f 3 2"] | None = None
    image: UInt8[np.ndarray, "h w 4"] | None = None
    tint: Float[np.ndarray, "v 3"] | None = None
    """sRGB a vertex (skin, plain hair)."""
    fabrics: tuple[Fabric, ...] = ()
    """Chosen for each face by ``fabric_of_face``; empty for the image's own colours."""
    fabric_of_face: Int[np.ndarray, "f"] | None = None
    dye: Float[np.ndarray, "3"] | None = None
    """Colour that the image's brightness is multiplied with (hair)."""

    @property
    def has_cutouts(self) -> bool:
        """Whether the image's alpha decides what is there."""
        return self.kind in ("hair", "eyebrows", "eyelashes") and self.image is not None


@dataclass(frozen=True)
class Clothed:
    """A finished person, standing on y = 0."""

    casting: Casting
    layers: tuple[Layer, ...]
    joints: Float[np.ndarray, "55 3"]
    shape: BaseShape
    lift: Float[np.ndarray, "3"]
    """What was added to the posed points to stand on the floor."""


def dress(base: BaseBody, wardrobe: Wardrobe, casting: Casting) -> Clothed:
    """Build a person.

    Raises:
        HumanRefError: ``asset_broken``.
    """
    shape = base.shape(casting.phenotype)
    matrices, joints = shape.pose(casting.pose)
    topology = shape.topology
    soles = shape.vertices[np.unique(topology.faces), 1]
    scale = _PATTERN_STATURE / float(soles.max() - soles.min())
    ground = np.array([0.0, float(soles.min()), 0.0])
    hidden = np.zeros(len(shape.vertices), bool)
    layers: list[Layer] = []
    hem = np.inf
    waist = (landmarks(shape).waist - ground[1]) * scale

    def place(rest: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        return np.asarray((rest - ground) * scale)

    def add(kind: str, name: str, worn: Worn, fabrics: tuple[Fabric, ...]) -> None:
        nonlocal hem
        rest = worn.garment.fit(shape.vertices)
        keep = np.ones(len(worn.faces), bool)
        if kind == "clothes" and not name.startswith("shoes"):
            hem = min(hem, float(rest[:, 1].min()))
        elif kind == "clothes" and hem < ground[1] + 0.45 / scale:
            # Socks are as tall as the shin and would poke through long trousers.
            keep = rest[worn.faces, 1].min(1) < hem + 0.025
        faces = worn.faces[keep]
        uv = worn.garment.mesh.uv[worn.uv_faces[keep]]
        image = wardrobe.iris(casting.iris) if kind == "eyes" else worn.image
        painted = kind in ("hair", "eyebrows", "eyelashes")
        tint = np.tile(casting.hair_color, (len(rest), 1)) if painted and image is None else None
        which = _upper_or_lower(place(rest), faces, waist) if len(fabrics) == 2 else None
        if fabrics and which is None:
            which = np.zeros(len(faces), np.int64)
        shade = 1.0 if kind == "hair" else 0.6
        layers.append(
            Layer(
                name=name,
                kind=kind,
                vertices=blend_skin(rest, worn.weights, matrices),
                faces=faces,
                place=place(rest),
                corner_uv=uv,
                image=image,
                tint=tint,
                fabrics=fabrics,
                fabric_of_face=which,
                dye=casting.hair_color * shade if painted and image is not None else None,
            )
        )
        hidden[[v for v in worn.garment.hidden if v < len(hidden)]] = True

    hooded = False
    if casting.outfit.startswith("shell:"):
        for name, shell, fabric in make_shells(shape, casting):
            hooded = hooded or name == "hood"
            hidden |= shell.hides
            hem = min(hem, float(shell.vertices[:, 1].min())) if name == "trousers" else hem
            layers.append(
                Layer(
                    name=name,
                    kind="shell",
                    vertices=blend_skin(shell.vertices, shell.weights, matrices),
                    faces=shell.faces,
                    place=place(shell.vertices),
                    fabrics=(fabric,),
                    fabric_of_face=np.zeros(len(shell.faces), np.int64),
                )
            )
    else:
        worn = wardrobe.wear("clothes", casting.outfit, topology)
        keeps_own = casting.own_colors and worn.image is not None
        add("clothes", casting.outfit, worn, () if keeps_own else casting.fabrics[:2])
    shoes = wardrobe.wear("clothes", casting.shoes, topology)
    add("clothes", casting.shoes, shoes, () if casting.own_colors else casting.fabrics[2:3])
    if not hooded:
        add("hair", casting.hair, wardrobe.wear("hair", casting.hair, topology), ())
    for kind, name in (
        ("eyebrows", casting.eyebrows),
        ("eyelashes", casting.eyelashes),
        ("eyes", "high-poly"),
    ):
        add(kind, name, wardrobe.wear(kind, name, topology), ())
    layers.append(
        Layer(
            name="body",
            kind="body",
            vertices=blend_skin(shape.vertices, shape.weights, matrices),
            faces=topology.faces[~hidden[topology.faces].all(1)],
            place=place(shape.vertices),
            tint=np.clip(skin_tint(shape, casting.skin, casting.stubble), 0.0, 1.0),
        )
    )
    floor = min(layer.vertices[layer.faces, 1].min() for layer in layers if len(layer.faces))
    lift = np.array([0.0, -floor, 0.0])
    return Clothed(
        casting=casting,
        layers=tuple(_lifted(layer, lift) for layer in layers),
        joints=joints + lift,
        shape=shape,
        lift=lift,
    )


def _lifted(layer: Layer, lift: Float[np.ndarray, "3"]) -> Layer:
    return replace(layer, vertices=layer.vertices + lift)


def _upper_or_lower(
    place: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], waist: float
) -> Int[np.ndarray, "f"]:
    """0 for a shirt's faces, 1 for the trousers': whole pieces where pieces tell them apart."""
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), edges.T), (len(place), len(place)))
    count, piece = connected_components(graph, directed=False)
    top = np.full(count, -np.inf)
    bottom = np.full(count, np.inf)
    np.maximum.at(top, piece, place[:, 1])
    np.minimum.at(bottom, piece, place[:, 1])
    # An overall reaches from the chest to the knees: cut at the waist.
    both = (top > waist + 0.25) & (bottom < 0.6)
    low_piece: Bool[np.ndarray, "p"] = (top + bottom) / 2 < waist
    lower = np.where(both[piece], place[:, 1] < waist, low_piece[piece])
    return np.asarray(lower[faces[:, 0]].astype(np.int64))

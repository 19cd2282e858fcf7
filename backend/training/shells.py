"""Clothes that no asset folder has, grown from the body: skirts, dresses, coats, wide trousers, hoods.

An offset shell is a piece of the body's own skin, cut along smooth hems, pushed outwards and smoothed; a
tube hangs from the waist around both legs. All in MakeHuman's rest pose (metres, y up, facing +z) with
bone weights, so that they are posed like everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from backend.geometry.mesh import vertex_normals
from backend.training.base_body import BaseShape
from backend.training.triangles import cut, smooth
from shared_protocol.skeleton import JOINT_NAMES

_ARM_WORDS = ("shoulder", "elbow", "wrist", "index", "middle", "pinky", "ring", "thumb")
_HEAD_WORDS = ("neck", "head", "jaw", "eye")


@dataclass(frozen=True)
class Shell:
    """A garment in the rest pose."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    weights: Float[np.ndarray, "v b"]
    hides: Bool[np.ndarray, "base"]
    """Base vertices that nobody can see under it."""


@dataclass(frozen=True)
class Landmarks:
    """Measures of one body that garments are cut by."""

    arm: Bool[np.ndarray, "v"]
    head: Bool[np.ndarray, "v"]
    along_arm: Float[np.ndarray, "v"]
    """0 at the shoulder, 1 at the wrist; meaningful where ``arm``."""
    neck: Float[np.ndarray, "3"]
    waist: float
    hip: float
    knee: float
    ankle: float
    """Heights, metres."""

    def height(self, share: float) -> float:
        """A height on the leg: 0 at the hip joint, 1 at the knee, 2 at the ankle."""
        return float(np.interp(share, [-1, 0, 1, 2], [self.waist, self.hip, self.knee, self.ankle]))


def landmarks(shape: BaseShape) -> Landmarks:
    """Measure a body."""
    joint_weights = shape.topology.joint_weights()
    owner = joint_weights.argmax(1)

    def owned(words: tuple[str, ...]) -> Bool[np.ndarray, "v"]:
        mine = np.array([any(word in name for word in words) for name in JOINT_NAMES])
        return np.asarray(mine[owner])

    arm = owned(_ARM_WORDS)
    along = np.zeros(len(owner))
    for letter, sign in (("L", 1.0), ("R", -1.0)):
        shoulder, wrist = shape.head(f"upperarm01.{letter}"), shape.head(f"wrist.{letter}")
        axis = wrist - shoulder
        mine = sign * shape.vertices[:, 0] > 0
        along[mine] = ((shape.vertices[mine] - shoulder) @ axis) / (axis @ axis)
    hip = float(shape.head("upperleg01.L")[1])
    chest = float(shape.head("upperarm01.L")[1])
    return Landmarks(
        arm=arm,
        head=owned(_HEAD_WORDS),
        along_arm=along,
        neck=shape.head("neck01"),
        waist=hip + 0.32 * (chest - hip),
        hip=hip,
        knee=float(shape.head("lowerleg01.L")[1]),
        ankle=float(shape.head("foot.L")[1]),
    )


def top(
    shape: BaseShape, marks: Landmarks, *, hem: float, sleeve: float, offset: float, opening: float
) -> Shell:
    """A shirt, jumper, bodice or coat's upper part.

    Args:
        hem: height of its lower border, metres.
        sleeve: how far down the arm, 0 shoulder to 1 wrist.
        offset: distance from the skin, metres.
        opening: half the width of an open front, metres; 0 for closed.
    """
    x = shape.vertices
    throat = (x - marks.neck) @ np.array([0.0, -0.93, -0.37]) + 0.035
    field = np.minimum(throat, np.where(marks.arm, sleeve - marks.along_arm, 9.0))
    field = np.minimum(field, np.where(marks.arm, 9.0, x[:, 1] - hem))
    if opening:
        behind = np.where(x[:, 2] > marks.neck[2], 0.0, 9.0)
        field = np.minimum(field, np.abs(x[:, 0]) - opening + behind)
    field = np.where(marks.head & (throat < 0), -1.0, field)
    looser = np.where(marks.arm, 0.7, 1.0)
    return _offset_shell(shape, field, offset * looser, rounds=6)


def trousers(
    shape: BaseShape, marks: Landmarks, *, hem: float, offset: float, flare: float
) -> Shell:
    """Trousers or shorts.

    Args:
        hem: height of the lower border, metres.
        offset: distance from the skin, metres.
        flare: extra distance at the hem, metres, growing from the hip down.
    """
    x = shape.vertices
    field = np.where(marks.arm, -1.0, np.minimum(x[:, 1] - hem, marks.waist - 0.02 - x[:, 1]))
    depth = np.clip((marks.hip - x[:, 1]) / max(marks.hip - hem, 1e-3), 0.0, 1.0)
    return _offset_shell(shape, field, offset + flare * depth, rounds=6)


def hood(shape: BaseShape, marks: Landmarks, *, offset: float) -> Shell:
    """A hood over the head, open at the face."""
    x = shape.vertices
    crown = float(x[marks.head, 1].max())
    middle = shape.head("head")
    tall = crown - marks.neck[1]
    back = middle[2] + 0.32 * tall - x[:, 2] + 0.10 * np.clip(x[:, 1] - middle[1], 0.0, None)
    field = np.where(marks.arm, -1.0, np.minimum(back, x[:, 1] - (marks.neck[1] - 0.03)))
    return _offset_shell(shape, field, np.full(len(x), offset), rounds=25)


def skirt(
    shape: BaseShape,
    marks: Landmarks,
    *,
    hem: float,
    offset: float,
    flare: float,
    folds: float,
    opening: float = 0.0,
    around: int = 96,
    down: int = 40,
) -> Shell:
    """A tube around both legs, from the waist to ``hem``.

    Args:
        hem: height of the lower border, metres.
        offset: distance from the skin at the waist, metres.
        flare: how much wider a metre further down, metres.
        folds: depth of its folds at the hem, metres.
        opening: half the width of an open front, metres; 0 for closed.
    """
    x = shape.vertices
    body = x[~marks.arm & (np.arange(len(x)) <= int(shape.topology.faces.max()))]
    angle = np.linspace(0.0, 2 * np.pi, around, endpoint=False)
    direction = np.stack([np.sin(angle), np.cos(angle)], 1)
    heights = np.linspace(marks.waist + 0.01, hem, down)
    center = np.array([0.0, float(shape.head("upperleg01.L")[2])])
    radius = np.zeros((down, around))
    widest = np.zeros(around)
    for k, y in enumerate(heights):
        slab = body[np.abs(body[:, 1] - y) < 0.03][:, [0, 2]] - center
        if len(slab):
            # The farthest point in each direction: cloth spans hollows, it does not line them.
            widest = np.maximum(widest, (slab @ direction.T).max(0))
        radius[k] = widest
    for _ in range(4):
        radius = 0.5 * radius + 0.25 * (np.roll(radius, 1, 1) + np.roll(radius, -1, 1))
    fallen = np.clip(marks.hip + 0.08 - heights, 0.0, None)[:, None]
    share = np.linspace(0.0, 1.0, down)[:, None]
    phase = 2.0 * np.sin(3 * angle) + np.sin(2 * angle + 1.0)
    wave = np.sin(11 * angle + phase) + 0.5 * np.sin(17 * angle - phase)
    radius = radius + offset + flare * fallen + folds * share**1.5 * wave[None]
    ring = radius[..., None] * direction[None] + center
    tall = np.broadcast_to(heights[:, None], radius.shape)
    vertices = np.stack([ring[..., 0], tall, ring[..., 1]], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(down - 1), np.arange(around), indexing="ij")
    a, b = i * around + j, i * around + (j + 1) % around
    c, d = a + around, b + around
    # Columns turn from +z to +x: a, c, b is counter-clockwise seen from outside.
    faces = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)
    weights = _skirt_weights(shape, marks, vertices)
    if opening:
        front = np.where(vertices[:, 2] > center[1], 0.0, 9.0)
        slit = cut(faces, np.abs(vertices[:, 0]) - opening + front)
        vertices, weights, faces = slit.carry(vertices), slit.carry(weights), slit.faces
    closed = not opening
    hides = ~marks.arm & (x[:, 1] < marks.waist - 0.02) & (x[:, 1] > hem + 0.02) & closed
    return Shell(vertices, faces, weights, hides)


def _skirt_weights(
    shape: BaseShape, marks: Landmarks, vertices: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n b"]:
    """Waist on the pelvis, the sides after their thighs, the middle between them."""
    weights = np.zeros((len(vertices), len(shape.bones)))
    left = 1.0 / (1.0 + np.exp(-vertices[:, 0] / 0.05))
    leg = 0.85 * np.clip((marks.waist - vertices[:, 1]) / (marks.waist - marks.knee), 0.0, 1.0)
    weights[:, shape.bones.index("root")] = 1.0 - leg
    weights[:, shape.bones.index("upperleg01.L")] = leg * left
    weights[:, shape.bones.index("upperleg01.R")] = leg * (1.0 - left)
    return weights


def _offset_shell(
    shape: BaseShape, field: Float[np.ndarray, "v"], offset: Float[np.ndarray, "v"], rounds: int
) -> Shell:
    """The skin where ``field`` > 0, pushed out by ``offset`` and smoothed, never nearer than asked."""
    faces = shape.topology.faces
    part = cut(faces, field)
    skin = part.carry(shape.vertices)
    normal = part.carry(vertex_normals(shape.vertices, faces))
    far = part.carry(offset)
    pushed = smooth(skin + normal * far[:, None], part.faces, rounds)
    # Smoothing sinks convex places into the body: lift them again.
    lack = far * 0.8 - ((pushed - skin) * normal).sum(1)
    pushed = pushed + normal * np.clip(lack, 0.0, None)[:, None]
    pushed = smooth(pushed, part.faces, 2)
    # A finger's width in from the hem, so that no gap shows between skin and cloth.
    return Shell(pushed, part.faces, part.carry(shape.weights), field > 0.02)

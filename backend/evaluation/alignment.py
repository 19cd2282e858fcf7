"""Similarity transforms: joints onto joints, then a surface onto a surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

ICP_STEPS = 20


@dataclass(frozen=True)
class Similarity:
    """new = scale * rotation @ old + shift."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    shift: Float[np.ndarray, "3"]

    def points(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Where points go."""
        moved: np.ndarray = self.scale * points @ self.rotation.T + self.shift
        return moved

    def directions(self, vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Where unit vectors turn to."""
        turned: np.ndarray = vectors @ self.rotation.T
        return turned

    def then(self, other: Similarity) -> Similarity:
        """This one first, ``other`` after it."""
        return Similarity(
            other.scale * self.scale,
            other.rotation @ self.rotation,
            other.scale * other.rotation @ self.shift + other.shift,
        )


def fit_similarity(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], *, scaled: bool = True
) -> Similarity:
    """The similarity of least squares that carries ``source`` onto ``target`` (Umeyama 1991).

    Args:
        scaled: False keeps lengths: a rigid motion. Reflections are never used.
    """
    mean, aim = source.mean(0), target.mean(0)
    a, b = source - mean, target - aim
    u, values, vt = np.linalg.svd(b.T @ a / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    variance = float(np.square(a).sum() / len(source))
    scale = float((values * signs).sum() / variance) if scaled and variance > 0 else 1.0
    return Similarity(scale, rotation, aim - scale * rotation @ mean)


def icp(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "m 3"], steps: int = ICP_STEPS
) -> Similarity:
    """Iterated closest points, both ways (Besl and McKay 1992): a rigid motion of ``source``.

    The scale stays that of the joints: a free one shrinks a surface that misses a part. Pairs are taken
    from either side, so that neither a missing nor a surplus limb pulls alone.
    """
    tree = cKDTree(target)
    found = Similarity(1.0, np.eye(3), np.zeros(3))
    for _ in range(steps):
        moved = found.points(source)
        there = tree.query(moved)[1]
        back = cKDTree(moved).query(target)[1]
        pairs = np.concatenate([moved, moved[back]]), np.concatenate([target[there], target])
        found = found.then(fit_similarity(*pairs, scaled=False))
    return found

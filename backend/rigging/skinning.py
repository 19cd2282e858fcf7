"""Skin weights of the clothed surface from the body under it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix, diags

from backend.body.model import PosedBody
from backend.geometry.mesh import ColoredMesh
from backend.rigging.attachment import attach
from shared_protocol.skeleton import JOINT_INDEX

INFLUENCES = 4
# Radius (metres) within which weights are mixed on the skin; loose cloth adds half its distance from
# the body, so that a skirt does not split between the legs.
_SKIN_RADIUS = 0.008
_CLOTH_SHARE = 0.5


def skin(
    mesh: ColoredMesh, body: PosedBody
) -> tuple[Float[np.ndarray, "v 4"], Int[np.ndarray, "v 4"]]:
    """Weights and joint indices, four a vertex, weights falling and summing to 1.

    Args:
        mesh: posed, world frame, metres.
        body: the body in the same pose.
    """
    normals = _smooth_normals(mesh)
    attached = attach(mesh.vertices, normals, body)
    source = _without_eyes(body.skin_weights.astype(np.float64))
    dense = np.einsum("vk,vkj->vj", attached.barycentric, source[attached.corners])
    radius = _SKIN_RADIUS + _CLOTH_SHARE * attached.distance
    return strongest(diffuse(dense, mesh.vertices, mesh.faces, radius))


def _without_eyes(weights: Float[np.ndarray, "v 55"]) -> Float[np.ndarray, "v 55"]:
    """Give the eyeballs' weights to the head: the reconstructed face is one closed skin."""
    weights = weights.copy()
    for eye in ("left_eye_smplhf", "right_eye_smplhf"):
        weights[:, JOINT_INDEX["head"]] += weights[:, JOINT_INDEX[eye]]
        weights[:, JOINT_INDEX[eye]] = 0.0
    return weights


def _smooth_normals(mesh: ColoredMesh) -> Float[np.ndarray, "v 3"]:
    """Normals averaged over the neighbours: wrinkles should not decide what a vertex belongs to."""
    normals = mesh.normals.astype(np.float64)
    for _ in range(3):
        of_face = normals[mesh.faces].sum(1)
        for axis in range(3):
            spread = np.repeat(of_face[:, axis], 3)
            normals[:, axis] = np.bincount(mesh.faces.ravel(), spread, minlength=len(normals))
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return normals


def diffuse(
    weights: Float[np.ndarray, "v j"],
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    radius: Float[np.ndarray, "v"],
) -> Float[np.ndarray, "v j"]:
    """One implicit step of heat flow on the surface: (M + L) w = M w0, L weighted by radius^2.

    Cotangent weights (kept positive) make the result independent of how finely the surface is meshed;
    rows that are convex combinations stay so.
    """
    corner = vertices[faces].astype(np.float64)
    n = len(vertices)
    rows, columns, values = [], [], []
    mass = np.zeros(n)
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    double_area = np.maximum(np.linalg.norm(cross, axis=1), 1e-16)
    for k in range(3):
        i, j = faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        to_i, to_j = corner[:, (k + 1) % 3] - corner[:, k], corner[:, (k + 2) % 3] - corner[:, k]
        cotangent = np.clip((to_i * to_j).sum(1) / double_area, 0.02, 20.0)
        strength = 0.5 * cotangent * (0.5 * (radius[i] + radius[j])) ** 2
        rows += [i, j]
        columns += [j, i]
        values += [strength, strength]
        mass += np.bincount(faces[:, k], double_area / 6.0, minlength=n)
    mass = np.maximum(mass, 1e-14)
    link = coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (n, n)
    )
    total = np.asarray(link.sum(1)).ravel()
    system = csr_matrix(diags(mass + total) - link)
    used = weights.any(0)
    smooth = np.zeros_like(weights)
    smooth[:, used] = _solve(system, mass, weights[:, used])
    smooth = np.maximum(smooth, 0.0)
    result: np.ndarray = smooth / smooth.sum(1, keepdims=True)
    return result


def _solve(
    system: csr_matrix,
    mass: Float[np.ndarray, "v"],
    weights: Float[np.ndarray, "v j"],
    tolerance: float = 1e-3,
    most: int = 200,
) -> Float[np.ndarray, "v j"]:
    """Solve system x = mass * weights for all columns at once: Jacobi-preconditioned CG from weights.

    In float32, whose rounding lies far below the tolerance and which halves the traffic; the unit of
    area is chosen so that nothing comes near its smallest numbers.
    """
    unit = float(mass.mean())
    matrix = (system / unit).astype(np.float32)
    inverse_diagonal = (1.0 / matrix.diagonal())[:, None]
    x = weights.astype(np.float32)
    right = (mass / unit).astype(np.float32)[:, None] * x
    residual = right - matrix @ x
    target = tolerance**2 * np.einsum("vj,vj->j", right, inverse_diagonal * right)
    z = inverse_diagonal * residual
    direction = z.copy()
    rho = np.einsum("vj,vj->j", residual, z)
    for _ in range(most):
        if (rho <= target).all():
            break
        product = matrix @ direction
        curvature = np.einsum("vj,vj->j", direction, product)
        step = rho / np.maximum(curvature, 1e-30)
        x += np.multiply(direction, step, out=z)
        residual -= np.multiply(product, step, out=product)
        np.multiply(inverse_diagonal, residual, out=z)
        before, rho = rho, np.einsum("vj,vj->j", residual, z)
        direction *= rho / np.maximum(before, 1e-30)
        direction += z
    return x


def strongest(
    weights: Float[np.ndarray, "v 55"],
) -> tuple[Float[np.ndarray, "v 4"], Int[np.ndarray, "v 4"]]:
    """Four weights a vertex that sum to 1, and their joints.

    The fifth largest weight is taken off the four largest before they are scaled to sum to 1: plain
    cutting would make the weights jump, and the skin crack, where two joints trade the fourth place.
    """
    order = np.argsort(-weights, axis=1, kind="stable")[:, : INFLUENCES + 1]
    chosen = np.take_along_axis(weights, order, 1)
    # A thousandth stays, so that five equal weights do not end as none.
    chosen = chosen[:, :INFLUENCES] - 0.999 * chosen[:, INFLUENCES:]
    order = order[:, :INFLUENCES]
    chosen = (chosen / chosen.sum(1, keepdims=True)).astype(np.float32)
    chosen[chosen < 1e-4] = 0.0
    chosen[:, 0] += 1.0 - chosen.sum(1)
    return chosen, np.where(chosen > 0, order, 0).astype(np.int32)

"""Linear blend skinning over a joint tree, in plain torch, differentiable everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Below this squared angle (rad^2) the Taylor series is exact to float64 rounding.
_SMALL_ANGLE_SQUARED = 1e-5


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """Rodrigues' formula R = I + sin(t)/t K + (1 - cos t)/t^2 K^2, radians.

    Gradients are finite and exact at zero angle, where pose optimisation starts.
    """
    squared = (axis_angle * axis_angle).sum(-1)
    small = squared < _SMALL_ANGLE_SQUARED
    # The untaken branch of `where` still gets a gradient: keep its square root away from zero.
    angle = torch.sqrt(torch.where(small, torch.ones_like(squared), squared))
    sine = torch.where(small, 1 - squared / 6 + squared * squared / 120, torch.sin(angle) / angle)
    # 2 sin^2(t/2) instead of 1 - cos(t): no cancellation in float32.
    half = torch.sin(angle / 2) / angle
    cosine = torch.where(small, 0.5 - squared / 24 + squared * squared / 720, 2 * half * half)
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    # K^2 = a a^T - t^2 I, cheaper than a batch of matrix products.
    outer = axis_angle[..., :, None] * axis_angle[..., None, :]
    square = outer - squared[..., None, None] * identity
    return identity + sine[..., None, None] * skew + cosine[..., None, None] * square


def tree_levels(parents: Sequence[int]) -> tuple[Int[Tensor, "_"], ...]:
    """Joint indices by distance from the root; each level needs only the one before it."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return tuple(
        torch.tensor([j for j, d in enumerate(depth) if d == level])
        for level in range(max(depth) + 1)
    )


class JointTree:
    """Forward kinematics of a fixed tree, one batched product a level instead of one a joint."""

    def __init__(self, parents: Sequence[int]) -> None:
        self._levels = tree_levels(parents)
        order = torch.cat(self._levels)
        self._inverse_order = torch.argsort(order)
        self._parents = torch.tensor(list(parents))
        # Position of each joint's parent inside its own (the previous) level.
        position = torch.empty(len(order), dtype=torch.long)
        for level in self._levels:
            position[level] = torch.arange(len(level))
        self._parent_slot = tuple(
            position[self._parents[level]] if k else level for k, level in enumerate(self._levels)
        )

    def transforms(
        self, rotations: Float[Tensor, "j 3 3"], joints: Float[Tensor, "j 3"]
    ) -> Float[Tensor, "j 4 4"]:
        """Matrices that take rest points to posed points, one a joint.

        Args:
            rotations: of each joint relative to its parent.
            joints: rest joint centres; joint frames are parallel to the world axes at rest. The
                root turns about its own rest position (SMPL's convention).
        """
        root = self._levels[0]
        world_rotation = [rotations[root]]
        world_position = [joints[root]]
        for level, slot in zip(self._levels[1:], self._parent_slot[1:], strict=True):
            parent_rotation = world_rotation[-1][slot]
            bone = joints[level] - joints[self._parents[level]]
            world_position.append(
                world_position[-1][slot] + (parent_rotation @ bone[..., None])[..., 0]
            )
            world_rotation.append(parent_rotation @ rotations[level])
        rotation = torch.cat(world_rotation)[self._inverse_order]
        position = torch.cat(world_position)[self._inverse_order]
        shift = position - (rotation @ joints[..., None])[..., 0]
        upper = torch.cat([rotation, shift[..., None]], -1)
        bottom = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=upper.dtype, device=upper.device)
        return torch.cat([upper, bottom.expand(len(upper), 1, 4)], 1)


def similarity(
    transforms: Float[Tensor, "j 4 4"], transl: Float[Tensor, "3"], scale: Float[Tensor, ""] | float
) -> Float[Tensor, "j 4 4"]:
    """Follow each matrix by x -> scale * x + transl."""
    upper = scale * transforms[:, :3]
    upper = torch.cat([upper[..., :3], upper[..., 3:] + transl[:, None]], -1)
    return torch.cat([upper, transforms[:, 3:]], 1)


def apply_rigid(
    transforms: Float[Tensor, "n 4 4"], points: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3"]:
    """Each point by its own matrix."""
    return (transforms[:, :3, :3] @ points[..., None])[..., 0] + transforms[:, :3, 3]


def skin(
    vertices: Float[Tensor, "v 3"],
    weights: Float[Tensor, "v j"],
    transforms: Float[Tensor, "j 4 4"],
) -> Float[Tensor, "v 3"]:
    """Linear blend skinning: every vertex by the weighted mean of the joints' matrices."""
    blended = (weights @ transforms[:, :3].reshape(len(transforms), 12)).reshape(-1, 3, 4)
    posed: Tensor = (blended[..., :3] * vertices[:, None, :]).sum(-1) + blended[..., 3]
    return posed

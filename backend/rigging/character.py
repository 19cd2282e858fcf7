"""A coloured mesh and a posed body become a character that can be animated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from backend.body.model import PosedBody
from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from backend.geometry.frames import PhotoCamera
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.rigging.skinning import skin

# Below this volume ratio a blended matrix cannot be undone without tearing the surface.
_LEAST_DETERMINANT = 0.1


@dataclass(frozen=True)
class Character:
    """A skinned person: metres, y up, facing +z.

    Attributes:
        mesh: in the photo's pose, world frame.
        rest_vertices: the same vertices in the T-pose, feet at y = 0, own frame (pelvis near x = z = 0).
        rest_normals: unit normals of that shape.
        weights: four a vertex, falling, sum 1.
        indices: joints of those weights (SMPL-X order).
        rest_joints: in the frame of ``rest_vertices``.
        joints: in the frame of ``mesh``.
        transforms: rigid rest-to-world matrix of each joint.
        pose: the SMPL-X parameters that pose the body under ``mesh``, in the same world.
        uv: (f * 3, 2) where each corner of each face lies in the texture, v up; None without one.
        texture: sRGB, row 0 on top.
    """

    mesh: ColoredMesh
    rest_vertices: Float[np.ndarray, "v 3"]
    rest_normals: Float[np.ndarray, "v 3"]
    weights: Float[np.ndarray, "v 4"]
    indices: Int[np.ndarray, "v 4"]
    rest_joints: Float[np.ndarray, "55 3"]
    joints: Float[np.ndarray, "55 3"]
    transforms: Float[np.ndarray, "55 4 4"]
    pose: BodyPose
    uv: Float[np.ndarray, "n 2"] | None = None
    texture: UInt8[np.ndarray, "s s 3"] | None = None

    @property
    def height(self) -> float:
        """Vertical extent of the T-pose, metres."""
        return float(np.ptp(self.rest_vertices[:, 1]))


@dataclass(frozen=True)
class Placement:
    """The old world to the new: new = factor * old + shift (metres)."""

    factor: float
    shift: tuple[float, float, float]

    def points(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Old world points in the new world."""
        moved: np.ndarray = points * self.factor + np.asarray(self.shift, points.dtype)
        return moved

    def pose(self, pose: BodyPose) -> BodyPose:
        """The same body in the new world."""
        return replace(pose, scale=pose.scale * self.factor, transl=self.points(pose.transl))

    def camera(self, camera: PhotoCamera) -> PhotoCamera:
        """The photo's camera in the new world: it sees the same picture."""
        density = camera.pixels_per_metre / self.factor
        return PhotoCamera(
            pixels_per_metre=density,
            center_u=camera.center_u - density * self.shift[0],
            center_v=camera.center_v + density * self.shift[1],
        )


def rig(mesh: ColoredMesh, body: PosedBody) -> Character:
    """Bind a mesh to the body that it was made around, and undo the pose.

    Args:
        mesh: world frame, metres, in the body's pose.
        body: the fitted body.

    Skinning ``rest_vertices`` with the result's transforms gives ``mesh`` back exactly.

    Raises:
        HumanRefError: ``rig_failed`` when the pose cannot be undone (a broken pose file).
    """
    weights, indices = skin(mesh, body)
    transforms = body.transforms.astype(np.float64)
    weights = _undoable(weights, indices, transforms, body.pose.scale)
    blended = blend(weights, indices, transforms)
    homogeneous = np.concatenate([mesh.vertices, np.ones((len(mesh.vertices), 1))], 1)
    rest = np.linalg.solve(blended, homogeneous[..., None].astype(np.float64))[:, :3, 0]
    if not np.isfinite(rest).all():
        raise HumanRefError(
            "rig_failed",
            "The pose cannot be undone to a T-pose.",
            "Check the pose file: rotations must be finite and the scale above zero.",
        )
    to_metres = np.diag([body.pose.scale] * 3 + [1.0])
    to_metres[1, 3] = -body.pose.scale * rest[:, 1].min()
    rest = _moved(rest, to_metres).astype(np.float32)
    return Character(
        mesh=mesh,
        rest_vertices=rest,
        rest_normals=vertex_normals(rest, mesh.faces),
        weights=weights,
        indices=indices,
        rest_joints=_moved(body.rest_joints.astype(np.float64), to_metres).astype(np.float32),
        joints=body.joints,
        transforms=transforms @ np.linalg.inv(to_metres),
        pose=body.pose,
    )


def blend(
    weights: Float[np.ndarray, "v 4"],
    indices: Int[np.ndarray, "v 4"],
    transforms: Float[np.ndarray, "55 4 4"],
) -> Float[np.ndarray, "v 4 4"]:
    """Linear blend skinning's matrix of each vertex."""
    matrix: np.ndarray = np.einsum("vk,vkij->vij", weights.astype(np.float64), transforms[indices])
    return matrix


def scale_to_height(character: Character, metres: float) -> tuple[Character, Placement]:
    """The same character whose T-pose is ``metres`` high, standing on y = 0 in both poses.

    Returns:
        The character, and how its world lies in the old one (for the photo's camera).

    Raises:
        HumanRefError: ``height_invalid`` unless ``metres`` is a positive number.
    """
    if not (np.isfinite(metres) and metres > 0):
        raise HumanRefError("height_invalid", f"A height must be above 0, not {metres} m.")
    factor = metres / character.height
    lowest = float(character.mesh.vertices[:, 1].min())
    place = Placement(factor, (0.0, -factor * lowest, 0.0))
    grow, move = np.diag([factor] * 3 + [1.0]), np.diag([factor] * 3 + [1.0])
    move[:3, 3] = place.shift
    scaled = replace(
        character,
        mesh=replace(character.mesh, vertices=place.points(character.mesh.vertices)),
        rest_vertices=character.rest_vertices * np.float32(factor),
        rest_joints=character.rest_joints * np.float32(factor),
        joints=place.points(character.joints),
        transforms=move @ character.transforms @ np.linalg.inv(grow),
        pose=place.pose(character.pose),
    )
    return scaled, place


def _moved(points: Float[np.ndarray, "n 3"], matrix: np.ndarray) -> Float[np.ndarray, "n 3"]:
    moved: np.ndarray = points @ matrix[:3, :3].T + matrix[:3, 3]
    return moved


def _undoable(
    weights: Float[np.ndarray, "v 4"],
    indices: Int[np.ndarray, "v 4"],
    transforms: Float[np.ndarray, "55 4 4"],
    scale: float,
) -> Float[np.ndarray, "v 4"]:
    """Weights with one joint only where opposite rotations would flatten the blend (candy wrapper)."""
    volume = np.linalg.det(blend(weights, indices, transforms)[:, :3, :3]) / scale**3
    flat = volume < _LEAST_DETERMINANT
    if not flat.any():
        return weights
    weights = weights.copy()
    weights[flat] = np.array([1, 0, 0, 0], weights.dtype)
    return weights

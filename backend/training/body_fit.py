"""The naked body under the clothes, as a photo's fit would find it: near, never exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.spatial import cKDTree

from backend.body.canonical import canonical_places
from backend.body.model import BodyModel, PosedBody
from backend.body.pose import BodyPose
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.mesh import vertex_normals
from backend.geometry.rasterizer import interpolate, rasterize
from backend.training.base_body import BaseBody, BaseShape
from backend.training.dressing import Clothed
from backend.training.figure import blend_skin
from shared_protocol.skeleton import JOINT_INDEX

_ALIGNMENT_ROUNDS = 10
_RIDGE = 1e-3


@dataclass(frozen=True)
class BodyView:
    """What the conditions of the prior see of the body; background is zero everywhere."""

    normal: Float[np.ndarray, "n n 3"]
    """Unit body-frame normals."""
    canonical: Float[np.ndarray, "n n 3"]
    """Place of the seen point on the mean body's T-pose, in [-1, 1], longest side 1.9."""
    region: UInt8[np.ndarray, "n n"]
    """:class:`backend.body.model.Region`."""


class BodyFitter:
    """Carries shapes of the base mesh over to the body model that people are fitted with."""

    def __init__(self, base: BaseBody, body: BodyModel) -> None:
        """Find, once, which base vertex lies where each vertex of the body model does."""
        import torch

        self._body = body

        def rest(
            betas: Float[np.ndarray, "b"],
        ) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "55 3"]]:
            found = body.rest(torch.from_numpy(betas.astype(np.float32)))
            vertices, joints = (array.numpy().astype(np.float64) for array in found)
            return vertices, joints

        self.template, joints = rest(np.zeros(body.n_betas))
        unit = [rest(b) for b in np.eye(body.n_betas)]
        self._directions = np.stack([vertices - self.template for vertices, _ in unit], -1)
        shape = base.shape({})
        mean = t_posed(shape)
        tree = cKDTree(mean)
        # The mean adults of the two differ by centimetres, and matched from there features slide by
        # two: the joints, which both have, bring them together first. Then match, fit, match again.
        betas = _least_squares(np.stack([j - joints for _, j in unit], -1), shape.joints - joints)
        for _ in range(_ALIGNMENT_ROUNDS):
            self._nearest: Int[np.ndarray, "v"] = tree.query(rest(betas)[0])[1]
            betas = self._solve(mean[self._nearest])
        self.canonical = canonical_places(body)

    def _solve(self, target: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "b"]:
        return _least_squares(self._directions, target - self.template)

    def betas(self, shape: BaseShape) -> Float[np.ndarray, "b"]:
        """The body model's best shape."""
        return self._solve(t_posed(shape)[self._nearest])

    def exact(self, person: Clothed) -> BodyPose:
        """The body model's best shape in the person's own pose."""
        return BodyPose(
            betas=self.betas(person.shape),
            full_pose=person.casting.pose,
            transl=person.lift.copy(),
            model=self._body.name,
        )

    def perturbed(self, pose: BodyPose, rng: np.random.Generator) -> BodyPose:
        """Off by what a fit from one photo is: a few degrees, centimetres, mostly in depth."""
        spread = np.full((55, 1), np.radians(3.0))
        for name, degrees in (
            ("pelvis", 2.0),
            ("head", 4.0),
            ("left_hip", 2.0),
            ("right_hip", 2.0),
        ):
            spread[JOINT_INDEX[name]] = np.radians(degrees)
        return BodyPose(
            betas=pose.betas + rng.normal(0.0, 0.25, pose.betas.shape),
            full_pose=pose.full_pose + rng.normal(size=(55, 3)) * spread,
            transl=pose.transl + rng.normal(size=3) * (0.006, 0.006, 0.015),
            model=pose.model,
        )

    def posed(self, pose: BodyPose) -> PosedBody:
        """The body model's vertices in a pose."""
        return self._body.pose(pose)

    def draw(self, body: PosedBody, camera: OrthographicCamera, size: int) -> BodyView:
        """The condition pictures of one camera."""
        faces = body.faces
        raster = rasterize(camera.project(body.vertices), faces, size)
        normals = interpolate(raster, vertex_normals(body.vertices, faces), faces)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        region = np.zeros((size, size), np.uint8)
        seen = raster.covered
        strongest = raster.barycentric[seen].argmax(1)
        region[seen] = body.regions[faces[raster.face_index[seen], strongest]]
        return BodyView(
            normal=normals / np.maximum(length, 1e-9),
            canonical=interpolate(raster, self.canonical, faces),
            region=region,
        )


def _least_squares(
    directions: Float[np.ndarray, "n 3 b"], difference: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "b"]:
    basis = directions.reshape(-1, directions.shape[-1])
    gram = basis.T @ basis + _RIDGE * np.eye(basis.shape[1])
    return np.asarray(np.linalg.solve(gram, basis.T @ difference.ravel()))


def t_posed(shape: BaseShape) -> Float[np.ndarray, "v 3"]:
    """The base mesh in the T-pose, pelvis joint at the origin."""
    return blend_skin(shape.vertices, shape.weights, shape.to_t_pose)

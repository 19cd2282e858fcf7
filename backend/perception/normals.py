"""Front and back normal maps of the clothed person (3.1)."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu

from backend.body.model import PosedBody, Region
from backend.geometry.frames import CropFrame, FieldToWorld
from backend.geometry.mesh import vertex_normals
from backend.geometry.rasterizer import rasterize
from backend.geometry.resampling import crop_map
from backend.perception.subject import NormalMaps, Subject

EXTENSION_TRUST = 0.25
"""Weight of normals continued from the body to the silhouette, where 1 is a body pixel's."""

_BACK = np.array([-1.0, 1.0, -1.0])
"""World axes to those of a camera at azimuth 180 (right = -x, up = y, backward = -z), and back."""
_SOLVE_SIDE = 160
_BODY_PULL = 4.0
_CLOTHED_PULL = 0.4
"""Cloth drapes over about 2 cm of the body's relief (navel, ribs): the field may stray there."""
_CONTOUR_PULL = 8.0


@runtime_checkable
class NormalEstimator(Protocol):
    """A fitted person to normal maps."""

    name: str

    def estimate(
        self,
        subject: Subject,
        posed_body: PosedBody,
        crop: CropFrame,
        field_to_world: FieldToWorld,
        resolution: int,
    ) -> NormalMaps:
        """Maps of ``resolution`` x ``resolution`` on the square crop; see :class:`NormalMaps`."""


class BodyNormals:
    """Normals of the fitted body, continued to the silhouette where clothes stand off from it.

    Inside the silhouette a smooth (harmonic) field joins the body's normals to the contour, where a
    surface turns away from the camera along the contour's own outward direction. Below the head the
    field also smooths the body's own relief, which clothes hide. Trust is 1 on the body, low on the
    continuation, 0 outside the silhouette. Beyond the photo's edge there is no silhouette: there the
    body alone speaks.
    """

    name = "body"

    def estimate(
        self,
        subject: Subject,
        posed_body: PosedBody,
        crop: CropFrame,
        field_to_world: FieldToWorld,
        resolution: int,
    ) -> NormalMaps:
        """See :class:`NormalEstimator`."""
        mask, in_photo = silhouette_on_crop(subject, crop, resolution)
        bare = crop_map((subject.regions == Region.HEAD).astype(np.float32), crop, resolution)
        xyz = field_to_world.to_field(posed_body.vertices.astype(np.float64))
        normals = vertex_normals(posed_body.vertices.astype(np.float64), posed_body.faces)
        faces = posed_body.faces[posed_body.outer_faces]
        front, front_weight = _one_view(xyz, normals, faces, mask, in_photo, bare)
        back, back_weight = _one_view(
            xyz * _BACK,
            normals * _BACK,
            faces,
            mask[:, ::-1],
            in_photo[:, ::-1],
            bare[:, ::-1],
        )
        return NormalMaps(
            front=front.astype(np.float32),
            back=(back * _BACK).astype(np.float32),
            front_weight=front_weight.astype(np.float32),
            back_weight=back_weight.astype(np.float32),
            provider=self.name,
            front_from_body=True,
            back_from_body=True,
        )


def silhouette_on_crop(
    subject: Subject, crop: CropFrame, resolution: int
) -> tuple[Float[np.ndarray, "n n"], Bool[np.ndarray, "n n"]]:
    """The subject's soft mask on the square crop, and which of its pixels lie in the photo."""
    mask = crop_map(subject.mask, crop, resolution)
    inside = crop_map(np.ones(subject.mask.shape, np.float32), crop, resolution) > 0.99
    return mask, np.asarray(inside)


def _one_view(
    xyz: Float[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"],
    faces: np.ndarray,
    mask: Float[np.ndarray, "n n"],
    in_photo: Bool[np.ndarray, "n n"],
    bare: Float[np.ndarray, "n n"],
) -> tuple[Float[np.ndarray, "n n 3"], Float[np.ndarray, "n n"]]:
    """Normals in camera axes (x right, y up, z towards the camera) and their trust."""
    raster = rasterize(xyz, faces, mask.shape[0])
    seen = raster.covered
    corners = normals[faces[np.where(seen, raster.face_index, 0)]]
    body = _unit((corners * raster.barycentric[..., None]).sum(-2))
    inside = np.where(in_photo, mask > 0.5, seen)
    contour, outward = _contour(inside, in_photo)
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    # A body pixel that looks sideways marks the body's own outline, not the clothes', unless the
    # silhouette ends there too.
    facing = _smooth_step((body[..., 2] - 0.15) / 0.35)
    at_edge = _smooth_step(1.5 - depth / (0.008 * mask.shape[0]))
    trust = np.where(seen & inside, np.maximum(facing, at_edge), 0.0)
    pull = trust * (bare * _BODY_PULL + (1.0 - bare) * _CLOTHED_PULL)
    smooth = _harmonic(body, pull, contour, outward, inside)
    relief = (trust * bare)[..., None]
    mixed = _unit(relief * body + (1.0 - relief) * smooth)
    towards_camera = np.array([0.0, 0.0, 1.0])
    view = np.where(inside[..., None], mixed, towards_camera)
    weight = np.where(in_photo, mask, 1.0) * (EXTENSION_TRUST + (1.0 - EXTENSION_TRUST) * trust)
    return view, np.where(inside, np.clip(weight, 0.0, 1.0), 0.0)


def _contour(
    inside: Bool[np.ndarray, "n n"], in_photo: Bool[np.ndarray, "n n"]
) -> tuple[Bool[np.ndarray, "n n"], Float[np.ndarray, "n n 3"]]:
    """Outermost silhouette pixels and their outward normals; not where the photo merely ends."""
    shape = inside.astype(np.float32)
    edge = inside & (cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    well_in_photo = cv2.erode(in_photo.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    smooth = cv2.GaussianBlur(shape, (0, 0), max(1.5, 0.006 * inside.shape[0]))
    right = -cv2.Sobel(smooth, cv2.CV_32F, 1, 0)
    up = cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    # The pixel's centre lies just inside the contour, where the surface still faces us a little.
    outward = _unit(np.stack([right, up, np.zeros_like(up)], -1)) + np.array([0.0, 0.0, 0.25])
    return np.asarray(edge & well_in_photo), _unit(outward)


def _harmonic(
    body: Float[np.ndarray, "n n 3"],
    body_pull: Float[np.ndarray, "n n"],
    contour: Bool[np.ndarray, "n n"],
    outward: Float[np.ndarray, "n n 3"],
    inside: Bool[np.ndarray, "n n"],
) -> Float[np.ndarray, "n n 3"]:
    """The smoothest field inside that the body (by ``body_pull``) and the contour pull on.

    Minimises sum pull |x - target|^2 + |grad x|^2 with free boundary; solved on a coarser grid.
    """
    n = inside.shape[0]
    m = min(n, _SOLVE_SIDE)
    pull = np.where(inside, body_pull + _CONTOUR_PULL * contour, 0.0)
    target = np.where(contour[..., None], outward, body) * pull[..., None]

    def coarse(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values.astype(np.float64), (m, m), interpolation=cv2.INTER_AREA)

    small_pull, small_target = coarse(pull), coarse(target)
    domain = coarse(inside.astype(np.float64)) > 0
    if not domain.any():
        return np.broadcast_to(np.array([0.0, 0.0, 1.0]), (n, n, 3))
    index = np.full((m, m), -1)
    index[domain] = np.arange(int(domain.sum()))
    across = (domain[:, :-1] & domain[:, 1:]).nonzero()
    down = (domain[:-1] & domain[1:]).nonzero()
    first = np.concatenate([index[across], index[down]])
    second = np.concatenate([index[across[0], across[1] + 1], index[down[0] + 1, down[1]]])
    size = int(domain.sum())
    ones = np.ones(len(first))
    links = coo_matrix((ones, (first, second)), shape=(size, size))
    links = (links + links.T).tocsc()
    degree = np.asarray(links.sum(1)).ravel()
    # The small constant keeps pieces that nothing pulls on facing the camera.
    diagonal = degree + small_pull[domain] + 1e-6
    right = small_target[domain] + 1e-6 * np.array([0.0, 0.0, 1.0])
    solution = splu((diags(diagonal) - links).tocsc()).solve(right)
    field = np.zeros((m, m, 3))
    field[domain] = solution
    large = cv2.resize(field, (n, n), interpolation=cv2.INTER_LINEAR)
    large[..., 2] = np.maximum(large[..., 2], 0.02)
    return _unit(large)


def _unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    towards_camera = np.array([0.0, 0.0, 1.0])
    return np.where(length > 1e-9, vectors / np.maximum(length, 1e-9), towards_camera)


def _smooth_step(t: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))

"""The posed body as any view shows it: regions for the attention, normals for the side views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from backend.body.model import PosedBody
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.frames import FieldToWorld
from backend.geometry.mesh import vertex_normals
from backend.geometry.rasterizer import rasterize
from backend.guidance.correspondence import BodyPicture
from backend.guidance.target_regions import band_cuts, band_labels, raster_labels

RESOLUTION = 128


@dataclass(frozen=True)
class BodyView:
    """One view of the body, ``RESOLUTION`` pixels square, row 0 on top, on the wanted device."""

    labels: UInt8[Tensor, "1 n n"]
    """``Region`` of each pixel, also off the body (that of its nearest pixel): never background."""
    normal: Float[Tensor, "n n 3"]
    """Unit normals, field frame; zero off the body."""
    covered: Bool[Tensor, "n n"]
    picture: BodyPicture | None = None
    """The same for the host, with places; only where the body's canonical places are known."""


class BodyViews:
    """Draws the body from any side (about 5 ms a view on one core).

    Args:
        body: posed, world frame.
        field_to_world: of the cube that all views show.
        photo_regions: regions of the photo on the crop; where the paper's bands are cut.
        regions: the body's own parts, or the paper's horizontal bands (3.3.2).
        device: of the results.
        canonical: the vertices' places (:func:`backend.body.canonical.canonical_places`), for priors that
            ask for maps.

    Raises:
        HumanRefError: ``regions_empty``.
    """

    def __init__(
        self,
        body: PosedBody,
        field_to_world: FieldToWorld,
        photo_regions: UInt8[np.ndarray, "n n"],
        regions: Literal["body", "bands"],
        device: torch.device,
        canonical: Float[np.ndarray, "v 3"] | None = None,
    ) -> None:
        self._canonical = canonical
        self._vertices = field_to_world.to_field(body.vertices).astype(np.float32)
        self._faces = body.faces[body.outer_faces]
        self._parts = body.regions
        self._normals = vertex_normals(self._vertices, self._faces).astype(np.float32)
        self._cuts = band_cuts(photo_regions) if regions == "bands" else None
        self._device = device

    def at(self, azimuth: float, elevation: float) -> BodyView:
        """The view from there (degrees)."""
        camera = OrthographicCamera(azimuth, elevation)
        seen = rasterize(camera.project(self._vertices), self._faces, RESOLUTION)
        corners = self._faces[seen.face_index]
        if self._cuts is None:
            labels = raster_labels(seen, self._faces, self._parts)
        else:
            labels = band_labels(self._cuts, camera, RESOLUTION)
        normal = (self._normals[corners] * seen.barycentric[..., None]).sum(-2)
        length = np.linalg.norm(normal, axis=-1, keepdims=True)
        normal = normal / np.maximum(length, 1e-6) * seen.covered[..., None]
        normal = normal.astype(np.float32)
        picture = None
        if self._canonical is not None:
            place = (self._canonical[corners] * seen.barycentric[..., None]).sum(-2)
            strongest = seen.barycentric.argmax(-1)[..., None]
            part = self._parts[np.take_along_axis(corners, strongest, -1)[..., 0]]
            picture = BodyPicture(
                normal,
                place * seen.covered[..., None],
                np.where(seen.covered, part, np.uint8(0)),
            )
        return BodyView(
            self._place(labels[None]), self._place(normal), self._place(seen.covered), picture
        )

    def _place(self, array: np.ndarray) -> Tensor:
        """To the device without waiting for it."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self._device.type == "cuda":
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)

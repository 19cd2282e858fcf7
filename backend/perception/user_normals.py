"""Normal maps that the user brought."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from backend.body.model import PosedBody
from backend.geometry.frames import CropFrame, FieldToWorld
from backend.geometry.resampling import crop_map
from backend.perception.normals import NormalEstimator
from backend.perception.overrides import read_normals
from backend.perception.subject import NormalMaps, Subject


class UserNormals:
    """The user's front and/or back map where it holds normals; ``base`` everywhere else."""

    name = "yours"

    def __init__(self, base: NormalEstimator, front: Path | None, back: Path | None) -> None:
        self._base = base
        self._front = front
        self._back = back

    def estimate(
        self,
        subject: Subject,
        posed_body: PosedBody,
        crop: CropFrame,
        field_to_world: FieldToWorld,
        resolution: int,
    ) -> NormalMaps:
        """See :class:`backend.perception.normals.NormalEstimator`."""
        maps = self._base.estimate(subject, posed_body, crop, field_to_world, resolution)
        mask = crop_map(subject.mask, crop, resolution)
        told = []
        if self._front is not None:
            normals, given = read_normals(self._front, subject.photo, back=False)
            front, weight = _merged(
                crop, normals, given, mask, maps.front.astype(np.float64), maps.front_weight
            )
            maps = replace(maps, front=front, front_weight=weight, front_from_body=False)
            told.append(f"front: {self._front.name}")
        if self._back is not None:
            normals, given = read_normals(self._back, subject.photo, back=True)
            # The back picture is the photo's frame seen from behind: mirror it into the photo,
            # cut the same square, and mirror the square back.
            back, weight = _merged(
                crop,
                np.ascontiguousarray(normals[:, ::-1]),
                np.ascontiguousarray(given[:, ::-1]),
                mask,
                maps.back[:, ::-1].astype(np.float64),
                maps.back_weight[:, ::-1],
            )
            maps = replace(
                maps,
                back=np.ascontiguousarray(back[:, ::-1]),
                back_weight=np.ascontiguousarray(weight[:, ::-1]),
                back_from_body=False,
            )
            told.append(f"back: {self._back.name}")
        return replace(maps, provider=f"{self.name} ({', '.join(told)}), else {maps.provider}")


def _merged(
    crop: CropFrame,
    normals: Float[np.ndarray, "h w 3"],
    given: Float[np.ndarray, "h w"],
    mask: Float[np.ndarray, "n n"],
    base: Float[np.ndarray, "n n 3"],
    base_weight: Float[np.ndarray, "n n"],
) -> tuple[Float[np.ndarray, "n n 3"], Float[np.ndarray, "n n"]]:
    """The user's normals where given (blended at their edge), and the trust of the result."""
    share = crop_map(given, crop, len(mask))
    # Premultiplied, so that pixels without a normal do not bleed in when the crop is resampled.
    own = crop_map(normals * given[..., None], crop, len(mask))
    mixed = own + (1.0 - share)[..., None] * base
    length = np.linalg.norm(mixed, axis=-1, keepdims=True)
    unit = np.where(length > 1e-6, mixed / np.maximum(length, 1e-6), base)
    weight = share * mask + (1.0 - share) * base_weight
    return unit.astype(np.float32), np.clip(weight, 0.0, 1.0).astype(np.float32)

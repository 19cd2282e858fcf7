"""What a method made of one photo, in the form that is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backend.evaluation.drawing import Skin
from backend.events import OnEvent
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.frames import CropFrame, PhotoCamera
from backend.geometry.mesh import ColoredMesh, vertex_normals
from backend.geometry.resampling import crop_map, sample
from backend.guidance.mirror import extend_colors
from backend.optimization.problem import frame_person
from backend.pipeline import Estimate, generate, stage
from backend.settings import GenerateSettings


@dataclass(frozen=True)
class Prediction:
    """A coloured person in a world of its own: metres, y up, facing +z."""

    mesh: ColoredMesh
    skin: Skin | None
    joints: Float[np.ndarray, "55 3"]
    camera: PhotoCamera
    """The photo's camera in that world."""
    crop: CropFrame
    guidance: str
    """What coloured the unseen sides, in words."""
    providers: Mapping[str, str]

    def photo_camera(self) -> OrthographicCamera:
        """The view of the photo's square crop."""
        depth = float(self.mesh.vertices[:, 2].mean())
        place = self.crop.field_to_world(self.camera, depth)
        return OrthographicCamera(0.0, 0.0, place.scale, place.shift)


def cut_out_photo(estimated: Estimate, crop: CropFrame, side: int) -> Float[np.ndarray, "n n 4"]:
    """The photo's square crop with the silhouette that the estimate found as alpha."""
    rgb = crop_map(estimated.subject.photo.rgb, crop, side)
    alpha = crop_map(estimated.subject.mask, crop, side)
    picture: np.ndarray = np.concatenate([rgb, alpha[..., None]], 2).clip(0.0, 1.0)
    return picture


def predict_character(
    estimated: Estimate, settings: GenerateSettings, on_event: OnEvent
) -> Prediction:
    """The whole method.

    Raises:
        HumanRefError: see :func:`backend.pipeline.generate`.
    """
    result = generate(estimated, settings, on_event)
    character = result.character
    skin = None
    if character.uv is not None and character.texture is not None:
        skin = Skin(character.uv, character.texture)
    return Prediction(
        mesh=character.mesh,
        skin=skin,
        joints=character.joints,
        camera=result.camera,
        crop=result.crop,
        guidance=result.providers["guidance"],
        providers=result.providers,
    )


def predict_body(estimated: Estimate, on_event: OnEvent) -> Prediction:
    """The fitted body alone: every vertex takes the photo's colour at its own place in the picture,
    in front and behind; beyond the silhouette that of the silhouette's nearest pixel."""
    subject, body, camera = estimated.subject, estimated.body, estimated.fit.camera
    with stage("coloring", on_event):
        picture = extend_colors(subject.photo.rgb, subject.mask > 0.5)
        faces = body.faces[body.outer_faces]
        used = np.unique(faces)
        vertices = body.vertices[used]
        mesh = ColoredMesh(
            vertices,
            np.searchsorted(used, faces),
            sample(picture, camera.project(vertices)),
            vertex_normals(body.vertices, faces)[used],
        )
        crop, _ = frame_person(subject.mask, body, camera)
    described = "none: the fitted body, coloured straight through by the photo"
    return Prediction(mesh, None, body.joints, camera, crop, described, {**subject.providers})

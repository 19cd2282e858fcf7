"""Front normals from Marigold (diffusers), back normals from the fitted body."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from backend.body.model import PosedBody
from backend.geometry.frames import CropFrame, FieldToWorld
from backend.geometry.resampling import crop_map
from backend.perception.hub import loading_failed, require, resolve_weights
from backend.perception.normals import BodyNormals, silhouette_on_crop
from backend.perception.subject import NormalMaps, Subject

MARIGOLD = "prs-eth/marigold-normals-lcm-v0-1"


class MarigoldNormals:
    """Marigold-Normals (Apache-2.0) on the square crop, the person set on grey.

    Its axes are x right, y up, z towards the viewer: those of the front camera and, because that
    camera looks along -z, of the world frame; nothing needs turning. One photo says nothing of the
    back, which stays the body's.

    Args:
        repo: hub id or local diffusers folder.
        device: torch device.
        allow_download: whether a hub id may be fetched.
        steps: denoising steps; None takes the model's own default.
        processing_resolution: side at which the network works, pixels; None = the model's own.
        seed: of the starting noise.

    Raises:
        HumanRefError: ``missing_package``, ``weights_missing``, ``weights_unreadable``.
    """

    name = "marigold"

    def __init__(
        self,
        repo: str = MARIGOLD,
        *,
        device: str = "cpu",
        allow_download: bool = False,
        steps: int | None = None,
        processing_resolution: int | None = None,
        seed: int = 0,
    ) -> None:
        require("hub", "diffusers", "transformers")
        from diffusers import MarigoldNormalsPipeline

        path = resolve_weights(repo, allow_download=allow_download)
        dtype = torch.float16 if device.startswith("cuda") else torch.float32
        try:
            load: Any = MarigoldNormalsPipeline.from_pretrained
            pipeline = load(path)
        except (ImportError, OSError, ValueError, RuntimeError, AttributeError) as error:
            raise loading_failed(repo, error) from error
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device, dtype)
        self._steps = steps
        self._processing_resolution = processing_resolution
        self._seed = seed

    def estimate(
        self,
        subject: Subject,
        posed_body: PosedBody,
        crop: CropFrame,
        field_to_world: FieldToWorld,
        resolution: int,
    ) -> NormalMaps:
        """See :class:`backend.perception.normals.NormalEstimator`."""
        body = BodyNormals().estimate(subject, posed_body, crop, field_to_world, resolution)
        mask, in_photo = silhouette_on_crop(subject, crop, resolution)
        rgb = crop_map(subject.photo.rgb, crop, resolution)
        on_grey = rgb * mask[..., None] + 0.5 * (1.0 - mask[..., None])
        levels = np.round(on_grey.clip(0.0, 1.0) * 255.0).astype(np.uint8)
        answer = self._pipeline(
            Image.fromarray(levels),
            num_inference_steps=self._steps,
            processing_resolution=self._processing_resolution,
            generator=torch.Generator("cpu").manual_seed(self._seed),
        )
        found = np.asarray(answer.prediction[0], np.float32)
        if found.shape[:2] != (resolution, resolution):
            size = (resolution, resolution)
            found = np.asarray(cv2.resize(found, size, interpolation=cv2.INTER_LINEAR), np.float32)
        length = np.linalg.norm(found, axis=-1, keepdims=True)
        used = (mask > 0.5) & in_photo & (length[..., 0] > 1e-3)
        front = np.where(used[..., None], found / np.maximum(length, 1e-3), body.front)
        weight = np.where(used, mask, body.front_weight)
        return replace(
            body,
            front=front.astype(np.float32),
            front_weight=np.clip(weight, 0.0, 1.0).astype(np.float32),
            provider=f"{self.name} (front), {body.provider} (back)",
            front_from_body=False,
        )

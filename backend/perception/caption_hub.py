"""Captions from BLIP and from the paper's BLIP-2 (3.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from backend.perception.backdrop import detection_picture
from backend.perception.hub import loading_failed, require, resolve_weights
from backend.perception.subject import Landmarks, Photo

BLIP = "Salesforce/blip-image-captioning-base"
BLIP2 = "Salesforce/blip2-opt-2.7b"
_MAX_NEW_TOKENS = 40


class BlipCaption:
    """``Salesforce/blip-image-captioning-base`` (BSD-3) through transformers.

    Raises:
        HumanRefError: ``missing_package``, ``weights_missing``, ``weights_unreadable``.
    """

    name = "blip"

    def __init__(
        self, repo: str = BLIP, *, device: str = "cpu", allow_download: bool = False
    ) -> None:
        require("hub", "transformers")
        from transformers import BlipForConditionalGeneration, BlipProcessor

        self._load(repo, BlipProcessor, BlipForConditionalGeneration, device, allow_download)

    def _load(
        self, repo: str, processor: Any, model: Any, device: str, allow_download: bool
    ) -> None:
        path = resolve_weights(repo, allow_download=allow_download)
        # Half precision only where it is fast; CPUs run it slower than float32.
        dtype = torch.float16 if device.startswith("cuda") else torch.float32
        try:
            self._processor = processor.from_pretrained(path)
            self._model = model.from_pretrained(path).to(device, dtype).eval()
        except (ImportError, OSError, ValueError, RuntimeError, AttributeError) as error:
            raise loading_failed(repo, error) from error
        self._device = device
        self._dtype = dtype

    @torch.no_grad()
    def caption(self, photo: Photo, regions: UInt8[np.ndarray, "h w"], landmarks: Landmarks) -> str:
        """See :class:`backend.perception.caption.Captioner`; the network sees the person's crop."""
        rows, columns = np.nonzero(regions > 0)
        picture = detection_picture(photo, None)
        if rows.size:
            picture = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        inputs = self._processor(images=np.ascontiguousarray(picture), return_tensors="pt")
        moved = {
            key: value.to(self._device, self._dtype if value.is_floating_point() else None)
            for key, value in inputs.items()
        }
        tokens = self._model.generate(**moved, max_new_tokens=_MAX_NEW_TOKENS, do_sample=False)
        text = self._processor.batch_decode(tokens, skip_special_tokens=True)[0]
        return " ".join(text.split()).rstrip(".")


class Blip2Caption(BlipCaption):
    """``Salesforce/blip2-opt-2.7b`` (the paper's captioner; MIT, OPT weights under Meta's licence)."""

    name = "blip2"

    def __init__(
        self, repo: str = BLIP2, *, device: str = "cpu", allow_download: bool = False
    ) -> None:
        require("hub", "transformers")
        from transformers import Blip2ForConditionalGeneration, Blip2Processor

        self._load(repo, Blip2Processor, Blip2ForConditionalGeneration, device, allow_download)

"""Regions from a SegFormer trained on human parsing."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.perception.backdrop import detection_picture
from backend.perception.cut_lines import CutLines
from backend.perception.hub import loading_failed, require, resolve_weights
from backend.perception.parsing import LandmarkParsing, fill_from_nearest
from backend.perception.subject import Landmarks, Photo

SEGFORMER_CLOTHES = "mattmdjaga/segformer_b2_clothes"
FASHN_PARSER = "fashn-ai/fashn-human-parser"

_NEAREST = -1
_BY_HEIGHT = -2
LABEL_REGIONS: dict[str, int] = {
    "background": Region.BACKGROUND,
    "hat": Region.HEAD,
    "hair": Region.HEAD,
    "face": Region.HEAD,
    "sunglasses": Region.HEAD,
    "glasses": Region.HEAD,
    "upper-clothes": Region.UPPER,
    "top": Region.UPPER,
    "scarf": Region.UPPER,
    "left-arm": Region.UPPER,
    "right-arm": Region.UPPER,
    "arms": Region.UPPER,
    "hands": Region.UPPER,
    "torso": Region.UPPER,
    "skirt": Region.LOWER,
    "pants": Region.LOWER,
    "belt": Region.LOWER,
    "left-leg": Region.LOWER,
    "right-leg": Region.LOWER,
    "legs": Region.LOWER,
    "left-shoe": Region.FEET,
    "right-shoe": Region.FEET,
    "feet": Region.FEET,
    # Spans two regions: split where the landmarks put the waist.
    "dress": _BY_HEIGHT,
    # Carried or hung anywhere: belongs to what lies beside it.
    "bag": _NEAREST,
    "jewelry": _NEAREST,
}
"""Class names of both models, lower case -> region (or one of two ways to decide)."""


class SegformerParsing:
    """``mattmdjaga/segformer_b2_clothes`` (MIT) or ``fashn-ai/fashn-human-parser``, by their labels.

    Pixels inside the silhouette that the network calls background take their nearest region.

    Raises:
        HumanRefError: ``missing_package``, ``weights_missing``, ``weights_unreadable``,
            ``parser_labels`` for a model with class names we do not know.
    """

    name = "segformer"

    def __init__(
        self,
        repo: str = SEGFORMER_CLOTHES,
        *,
        device: str = "cpu",
        allow_download: bool = False,
        cuts: CutLines | None = None,
    ) -> None:
        require("hub", "transformers")
        from transformers import AutoModelForSemanticSegmentation, SegformerImageProcessor

        path = resolve_weights(repo, allow_download=allow_download)
        try:
            self._processor = SegformerImageProcessor.from_pretrained(path)
            model = AutoModelForSemanticSegmentation.from_pretrained(path)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise loading_failed(repo, error) from error
        self._regions = _table(repo, model.config.id2label)
        self._model = model.to(device).eval()
        self._device = device
        self._landmarks = LandmarkParsing(cuts)

    @torch.no_grad()
    def parse(
        self, photo: Photo, mask: Float[np.ndarray, "h w"], landmarks: Landmarks
    ) -> UInt8[np.ndarray, "h w"]:
        """See :class:`backend.perception.parsing.Parser`."""
        height, width = mask.shape
        inputs = self._processor(images=detection_picture(photo, None), return_tensors="pt")
        logits = self._model(pixel_values=inputs["pixel_values"].to(self._device)).logits
        full = torch.nn.functional.interpolate(
            logits.float(), size=(height, width), mode="bilinear", align_corners=False
        )
        region = self._regions[full.argmax(1)[0].cpu().numpy()]
        by_height = region == _BY_HEIGHT
        if by_height.any():
            split = self._landmarks.parse(photo, mask, landmarks)
            region[by_height] = np.where(
                split[by_height] >= Region.LOWER, Region.LOWER, Region.UPPER
            )
        return fill_from_nearest(region, mask)


def _table(repo: str, id2label: dict[int, str]) -> np.ndarray:
    unknown = sorted({n for n in id2label.values() if _plain(n) not in LABEL_REGIONS})
    if unknown:
        raise HumanRefError(
            "parser_labels",
            f"The parser {repo} has classes that are not known here: {', '.join(unknown[:6])}.",
            f"Use {SEGFORMER_CLOTHES} or {FASHN_PARSER}.",
        )
    table = np.zeros(max(id2label) + 1, np.int16)
    for index, label in id2label.items():
        table[index] = LABEL_REGIONS[_plain(label)]
    return table


def _plain(label: str) -> str:
    return label.strip().lower().replace("_", "-").replace(" ", "-")

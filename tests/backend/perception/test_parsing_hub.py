"""SegFormer parsing through its real loader, with tiny weights that see colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from perception_support import Seen, as_photo
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from backend.body.model import Region
from backend.errors import HumanRefError
from backend.perception.parsing_hub import LABEL_REGIONS, SegformerParsing

CLOTHES = [
    "Background",
    "Hat",
    "Hair",
    "Sunglasses",
    "Upper-clothes",
    "Skirt",
    "Pants",
    "Dress",
    "Belt",
    "Left-shoe",
    "Right-shoe",
    "Face",
    "Left-leg",
    "Right-leg",
    "Left-arm",
    "Right-arm",
    "Bag",
    "Scarf",
]
FASHN = [
    "background",
    "face",
    "hair",
    "top",
    "dress",
    "skirt",
    "pants",
    "belt",
    "bag",
    "hat",
    "scarf",
    "glasses",
    "arms",
    "hands",
    "legs",
    "feet",
    "torso",
    "jewelry",
]


def tiny(folder: Path, labels: list[str], constant: str | None = None) -> Path:
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[7, 3],
        strides=[4, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(labels)),
        label2id={label: k for k, label in enumerate(labels)},
    )
    model = SegformerForSemanticSegmentation(config).eval()
    if constant is not None:
        with torch.no_grad():
            model.decode_head.classifier.weight.zero_()
            model.decode_head.classifier.bias.zero_()
            model.decode_head.classifier.bias[labels.index(constant)] = 5.0
    model.save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_both_models_labels_are_known() -> None:
    for label in CLOTHES + FASHN:
        assert label.lower() in LABEL_REGIONS


@pytest.mark.parametrize(
    ("labels", "constant", "region"),
    [(CLOTHES, "Left-shoe", Region.FEET), (FASHN, "pants", Region.LOWER)],
)
def test_a_label_becomes_its_region(
    tmp_path: Path, seen: Seen, labels: list[str], constant: str, region: Region
) -> None:
    parser = SegformerParsing(str(tiny(tmp_path / "m", labels, constant)))
    regions = parser.parse(seen.photo, seen.mask, seen.detection.landmarks)
    inside = seen.mask > 0.5
    assert (regions[inside] == region).all()
    assert (regions[~inside] == 0).all()


def test_a_dress_is_split_at_the_waist(tmp_path: Path, seen: Seen) -> None:
    parser = SegformerParsing(str(tiny(tmp_path / "m", FASHN, "dress")))
    marks = seen.detection.landmarks
    regions = parser.parse(seen.photo, seen.mask, marks)
    chest = marks.body[[11, 12, 23, 24]].mean(0).astype(int)
    knee = marks.body[25].astype(int)
    assert regions[chest[1], chest[0]] == Region.UPPER
    assert regions[knee[1], knee[0]] == Region.LOWER


def test_what_the_network_says_is_what_the_classes_argmax_says(tmp_path: Path, seen: Seen) -> None:
    """The whole path against a plain re-computation with the same random weights."""
    folder = tiny(tmp_path / "m", CLOTHES)
    parser = SegformerParsing(str(folder))
    small = as_photo(seen.photo.rgb[::4, ::4].copy())
    mask = np.ones(small.rgb.shape[:2], np.float32)
    processor = SegformerImageProcessor.from_pretrained(folder)
    model = SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    image = np.round(small.rgb * 255).astype(np.uint8)
    with torch.no_grad():
        logits = model(**processor(images=image, return_tensors="pt")).logits
        full = torch.nn.functional.interpolate(logits, size=mask.shape, mode="bilinear")
    label = full.argmax(1)[0].numpy()
    plain = np.array([max(LABEL_REGIONS[name.lower()], 0) for name in CLOTHES])
    certain = (plain[label] > 0) & (np.array(CLOTHES)[label] != "Dress")
    if not certain.any():
        with pytest.raises(HumanRefError):
            parser.parse(small, mask, seen.detection.landmarks)
        return
    regions = parser.parse(small, mask, seen.detection.landmarks)
    np.testing.assert_array_equal(regions[certain], plain[label][certain])


def test_unknown_labels_are_refused(tmp_path: Path) -> None:
    folder = tiny(tmp_path / "m", ["background", "road", "sky"])
    with pytest.raises(HumanRefError) as caught:
        SegformerParsing(str(folder))
    assert caught.value.code == "parser_labels"
    assert "road" in caught.value.message

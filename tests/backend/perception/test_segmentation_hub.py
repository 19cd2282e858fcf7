"""BiRefNet's loader with a tiny model of its own kind; Mask R-CNN's choice of instance."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from perception_support import Seen, as_photo

from backend.errors import HumanRefError
from backend.perception import segmentation_hub
from backend.perception.hub import installed
from backend.perception.landmarks import Detection
from backend.perception.segmentation_hub import (
    BirefnetSegmentation,
    MaskRcnnSegmentation,
    matching_instance,
    of_the_person,
)

MODEL_CODE = '''
import torch
from transformers import PretrainedConfig, PreTrainedModel


class TinyConfig(PretrainedConfig):
    model_type = "tiny_matting"


class TinyMatting(PreTrainedModel):
    """Foreground = green; answers with a list of logits, the finest last."""

    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.mix = torch.nn.Conv2d(3, 1, 1)
        self.post_init()

    def forward(self, x):
        full = self.mix(x)
        return [torch.nn.functional.avg_pool2d(full, 4), full]
'''
CONFIG = """{"model_type": "tiny_matting", "architectures": ["TinyMatting"], "auto_map": {
"AutoConfig": "tiny_matting.TinyConfig",
"AutoModelForImageSegmentation": "tiny_matting.TinyMatting"}}"""


@pytest.fixture
def tiny_birefnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local folder laid out like BiRefNet's: model code, config, safetensors."""
    from safetensors.torch import save_file
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "tiny_matting.py").write_text(MODEL_CODE)
    (folder / "config.json").write_text(CONFIG)
    weight = torch.tensor([-8.0, 16.0, -8.0]).reshape(1, 3, 1, 1)
    save_file(
        {"mix.weight": weight, "mix.bias": torch.tensor([-4.0])},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    return folder


def test_birefnet_reads_a_local_folder(tiny_birefnet: Path, seen: Seen) -> None:
    rgb = np.full((300, 200, 3), 0.5, np.float32)
    rgb[60:260, 50:150] = [0.1, 0.9, 0.1]
    prior = np.zeros((300, 200), np.float32)
    prior[80:240, 60:140] = 1.0
    detection = Detection(seen.detection.landmarks, prior, None, 1, 0, ())
    mask = BirefnetSegmentation(str(tiny_birefnet), size=128).segment(
        as_photo(rgb), detection, None
    )
    assert mask.shape == (300, 200)
    assert mask[70:250, 55:145].min() > 0.95
    assert mask[:50].max() < 0.05
    assert mask[:, :40].max() < 0.05


def test_birefnet_without_weights(tmp_path: Path) -> None:
    with pytest.raises(HumanRefError) as caught:
        BirefnetSegmentation(str(tmp_path / "none"))
    assert caught.value.code == "weights_missing"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(HumanRefError) as caught:
        BirefnetSegmentation(str(tmp_path / "broken"))
    assert caught.value.code == "weights_unreadable"


def test_the_instance_of_the_chosen_person_is_taken() -> None:
    prior = np.zeros((60, 60), np.float32)
    prior[10:50, 30:50] = 1.0
    left, right = np.zeros_like(prior), np.zeros_like(prior)
    left[8:52, 2:25] = 0.9
    right[12:55, 28:52] = 0.8
    assert matching_instance([left, right], prior) is right
    with pytest.raises(HumanRefError) as caught:
        matching_instance([left], prior)
    assert caught.value.code == "mask_empty"


def test_only_the_chosen_person_remains(seen: Seen) -> None:
    soft = np.zeros((60, 60), np.float32)
    soft[10:50, 5:20] = 1.0
    soft[10:50, 35:50] = 0.9
    soft[28:32, 20:35] = 0.7
    prior = np.zeros((60, 60), np.float32)
    prior[12:48, 37:48] = 1.0
    others = np.zeros((60, 60), bool)
    others[:, :30] = True
    detection = Detection(seen.detection.landmarks, prior, others, 2, 1, ())
    mask = of_the_person(soft, detection)
    assert mask[:, :30].max() == 0.0
    np.testing.assert_allclose(mask[12:48, 36:49], 0.9)


@pytest.mark.skipif(installed("torchvision"), reason="torchvision is installed")
def test_mask_rcnn_says_that_torchvision_is_missing() -> None:
    with pytest.raises(HumanRefError) as caught:
        MaskRcnnSegmentation()
    assert caught.value.code == "missing_package"
    assert "humanref[maskrcnn]" in caught.value.hint


class StandIn(torch.nn.Module):
    """Answers like torchvision's detector: a person, a dog and an unsure person."""

    def __init__(self) -> None:
        super().__init__()
        self.height = torch.nn.Parameter(torch.tensor(0.0))

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        masks = torch.zeros(3, 1, *images[0].shape[1:])
        masks[0, 0, : int(self.height), 30:70] = 0.95
        masks[1, 0, :, :] = 1.0
        masks[2, 0, :, 60:] = 1.0
        return [
            {
                "masks": masks,
                "labels": torch.tensor([1, 18, 1]),
                "scores": torch.tensor([0.9, 0.99, 0.3]),
            }
        ]


def test_mask_rcnn_takes_the_sure_person(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything but torchvision itself, whose place a stand-in with the same answer takes."""
    detection_module = ModuleType("torchvision.models.detection")
    detection_module.maskrcnn_resnet50_fpn = lambda **_: StandIn()  # type: ignore[attr-defined]
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "torchvision.models.detection", detection_module)
    monkeypatch.setattr(segmentation_hub, "require", lambda *_: None)
    path = tmp_path / "weights.pth"
    torch.save({"height": torch.tensor(80.0)}, path)
    prior = np.zeros((100, 100), np.float32)
    prior[5:75, 35:65] = 1.0
    detection = Detection(seen.detection.landmarks, prior, None, 1, 0, ())
    photo = as_photo(np.random.default_rng(0).random((100, 100, 3)))
    mask = MaskRcnnSegmentation(path).segment(photo, detection, None)
    wanted = np.zeros((100, 100), bool)
    wanted[:80, 30:70] = True
    assert ((mask > 0.5) & wanted).sum() > 0.95 * wanted.sum()
    assert mask[90:].max() < 0.05
    with pytest.raises(HumanRefError) as caught:
        MaskRcnnSegmentation(tmp_path / "none.pth")
    assert caught.value.code == "weights_missing"
    torch.save({"other": torch.tensor(1.0)}, path)
    with pytest.raises(HumanRefError) as caught:
        MaskRcnnSegmentation(path)
    assert caught.value.code == "weights_unreadable"


@pytest.mark.skipif(not installed("torchvision"), reason="needs torchvision")
def test_mask_rcnn_loads_a_state_dict(tmp_path: Path, seen: Seen) -> None:
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    path = tmp_path / "weights.pth"
    torch.save(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).state_dict(), path)
    segmenter = MaskRcnnSegmentation(path)
    # Untrained weights find nobody: the whole path runs up to that honest answer.
    with pytest.raises(HumanRefError) as caught:
        segmenter.segment(seen.photo, seen.detection, None)
    assert caught.value.code == "mask_empty"

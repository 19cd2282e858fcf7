"""The paper's networks: unavailable without weights, by their definition with some."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.evaluation.paper_metrics import (
    UNAVAILABLE,
    VGG19_FILE,
    clip_metric,
    load_paper_metrics,
    vgg19_features,
)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((90, 40, 3)).astype(np.float32)


def test_absent_weights_are_unavailable_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    metrics = load_paper_metrics()
    assert VGG19_FILE in metrics.absent["contextual_vgg19"]
    assert metrics("contextual_vgg19", picture(0), picture(1)) == UNAVAILABLE


def test_vgg19s_weights_are_taken_from_torchs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    weights = {f"features.{k}": v for k, v in vgg19_features().state_dict().items()}
    # Where torchvision has its tenth convolution, conv4_2.
    assert weights["features.21.weight"].shape == (512, 512, 3, 3)
    torch.save({**weights, "classifier.0.bias": torch.zeros(3)}, folder / VGG19_FILE)
    metrics = load_paper_metrics()
    assert "contextual_vgg19" in metrics.found
    same, other = (metrics("contextual_vgg19", picture(0), picture(k)) for k in (0, 1))
    assert isinstance(same, float)
    assert isinstance(other, float)
    assert same == pytest.approx(0.0, abs=0.02)
    assert other > same + 0.1
    os.truncate(folder / VGG19_FILE, 1000)
    assert "cannot be read" in load_paper_metrics().absent["contextual_vgg19"]


def test_clip_score_is_a_hundred_cosines(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=224, patch_size=56, projection_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(tmp_path)
    metric = clip_metric(tmp_path)
    assert metric(picture(0), picture(0)) == pytest.approx(100.0, abs=1e-3)
    dark = np.zeros((90, 40, 3), np.float32)
    assert metric(picture(0), dark) < 99.0

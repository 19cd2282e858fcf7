"""The perceptual loss and its network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from backend.errors import HumanRefError
from backend.guidance.perceptual import PerceptualLoss, choose_perceptual, feature_distance
from backend.perception.efficientnet_lite import EfficientNetLite0, load_efficientnet_lite0

PHOTO = Path(__file__).parents[3] / "examples" / "photo.png"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loss() -> PerceptualLoss:
    return choose_perceptual("effnet-lite0", CPU)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    picture = np.asarray(Image.open(PHOTO).convert("RGB").resize((160, 160)), np.float32) / 255.0
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].copy())


def test_features_halve_five_times() -> None:
    with torch.no_grad():
        features = load_efficientnet_lite0()(torch.rand(2, 3, 100, 64))
    assert [tuple(part.shape) for part in features] == [
        (2, 16, 50, 32),
        (2, 24, 25, 16),
        (2, 40, 13, 8),
        (2, 112, 7, 4),
        (2, 320, 4, 2),
    ]


def test_convolutions_pad_as_tensorflow_does() -> None:
    """Stride 2 on an even size: one more row and column at the end, none at the beginning."""
    network = EfficientNetLite0()
    stem = network._conv_stem
    picture = torch.rand(1, 3, 8, 8)
    wanted = functional.conv2d(functional.pad(picture, (0, 1, 0, 1)), stem.weight, stride=2)
    torch.testing.assert_close(stem(picture), wanted)
    odd = torch.rand(1, 3, 7, 7)
    wanted = functional.conv2d(functional.pad(odd, (1, 1, 1, 1)), stem.weight, stride=2)
    torch.testing.assert_close(stem(odd), wanted)


def test_features_tell_pictures_apart(loss: PerceptualLoss, photo: Tensor) -> None:
    """0 for equal pictures; more for stronger changes; blur costs more than an equal shift of colour."""
    with torch.no_grad():
        assert float(loss.distance(photo, photo)) == 0.0
        noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
        little, much = (float(loss.distance(photo + s * noise, photo)) for s in (0.02, 0.1))
        assert 0.0 < little < much
        blurred = functional.avg_pool2d(photo, 9, 1, 4, count_include_pad=False)
        shifted = photo + (blurred - photo).square().mean().sqrt()
        assert float(loss.distance(blurred, photo)) > 2 * float(loss.distance(shifted, photo))


def test_the_gradient_leads_back_to_the_picture(loss: PerceptualLoss, photo: Tensor) -> None:
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    start = (photo + 0.05 * noise).requires_grad_()
    before = loss.distance(start, photo)
    (gradient,) = torch.autograd.grad(before, start)
    with torch.no_grad():
        stepped = start - 0.3 * gradient / gradient.norm()
        assert float(loss.distance(stepped, photo)) < float(before)


def test_distance_is_that_of_unit_features() -> None:
    a, b = torch.randn(2, 1, 5, 4, 4).double()
    wanted = 0.0
    for row in range(4):
        for column in range(4):
            p, q = a[0, :, row, column], b[0, :, row, column]
            wanted += float((p / p.norm() - q / q.norm()).square().sum()) / 16
    assert abs(float(feature_distance([a, a], [b, a])) - wanted) < 1e-6


def test_auto_says_what_it_took_and_names_are_checked() -> None:
    chosen = choose_perceptual("auto", CPU)
    assert chosen.why
    with pytest.raises(HumanRefError) as error:
        choose_perceptual("lpips-alex", CPU)
    assert error.value.code == "perceptual_unknown"


def test_lpips_without_its_weights_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(HumanRefError) as error:
        choose_perceptual("lpips-vgg", CPU)
    assert error.value.code in ("missing_package", "weights_missing")

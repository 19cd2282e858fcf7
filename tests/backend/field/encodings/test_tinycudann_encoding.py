"""tiny-cuda-nn behind our Protocol, against a stand-in with its interface (it needs a GPU to run)."""

import sys
from types import SimpleNamespace

import pytest
import torch

from backend.errors import HumanRefError
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.encodings.reference import ReferenceEncoding
from backend.field.encodings.tinycudann_cuda import TinyCudaEncoding, grid_config

LAYOUT = HashGridLayout(levels=4, log2_table=10, base_resolution=4, growth=1.6)


class _Function:
    """The interface of tiny-cuda-nn's autograd function: padded rows in, one flat table."""

    @staticmethod
    def apply(module, points, parameters, loss_scale):
        assert len(points) % 256 == 0
        assert parameters.ndim == 1
        assert loss_scale == 1.0
        return ReferenceEncoding(module)(points, parameters.view(-1, 2))


class _Encoding:
    def __init__(self, dimensions, config, dtype):
        assert (dimensions, dtype) == (3, torch.float32)
        self.native_tcnn_module = HashGridLayout(
            config["n_levels"],
            config["log2_hashmap_size"],
            config["base_resolution"],
            config["per_level_scale"],
        )
        self.loss_scale = 1.0
        self.params = torch.zeros(2 * self.native_tcnn_module.total)


@pytest.fixture
def tinycudann(monkeypatch):
    modules = SimpleNamespace(BATCH_SIZE_GRANULARITY=256, _module_function=_Function)
    package = SimpleNamespace(Encoding=_Encoding, modules=modules)
    monkeypatch.setitem(sys.modules, "tinycudann", package)
    return package


def test_the_table_passes_through_to_the_grid(tinycudann):
    reference = ReferenceEncoding(LAYOUT)
    encoding = TinyCudaEncoding(LAYOUT, reference)
    points = torch.rand(300, 3)
    points[0] = torch.tensor([float("nan"), 2.0, -1.0])
    grads = []
    for either in (reference, encoding):
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(LAYOUT.total, 2, generator=generator).requires_grad_()
        features = either(points, table, 3)
        features.square().sum().backward()
        grads.append((features.detach(), table.grad))
    for twin, ours in zip(*grads, strict=True):
        torch.testing.assert_close(twin, ours)
    jacobian = encoding.with_jacobian(points, table, 2)[1]
    assert jacobian.shape == (300, 3, 4)


def test_another_layout_is_refused_before_it_garbles_a_field(tinycudann, monkeypatch):
    broken = type("Broken", (_Encoding,), {})
    original = broken.__init__

    def fewer(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.params = self.params[:-2]

    monkeypatch.setattr(broken, "__init__", fewer)
    monkeypatch.setattr(tinycudann, "Encoding", broken)
    with pytest.raises(HumanRefError) as error:
        TinyCudaEncoding(LAYOUT, ReferenceEncoding(LAYOUT))
    assert error.value.code == "encoding_unavailable"


def test_a_build_that_does_not_load_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    with pytest.raises(HumanRefError) as error:
        make_encoding("tinycudann", LAYOUT, "cuda")
    assert error.value.code == "encoding_unavailable"
    assert "tiny-cuda-nn" in error.value.message


def test_the_grid_is_named_in_tiny_cuda_nns_words():
    config = grid_config(LAYOUT, 3)
    assert config["otype"] == "Grid"
    assert config["type"] == "Hash"
    assert (config["n_levels"], config["n_features_per_level"]) == (3, 2)
    assert config["per_level_scale"] == LAYOUT.growth


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_real_one_agrees_with_the_twin():
    pytest.importorskip("tinycudann")
    encoding, _ = make_encoding("tinycudann", LAYOUT, "cuda")
    points = torch.rand(5000, 3, device="cuda")
    table = torch.randn(LAYOUT.total, 2, device="cuda")
    torch.testing.assert_close(
        encoding(points, table), ReferenceEncoding(LAYOUT)(points, table), atol=1e-4, rtol=1e-4
    )

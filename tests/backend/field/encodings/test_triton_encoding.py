"""The Triton kernels: equal to the readable twin under the interpreter, and they compile for a GPU."""

import os
import subprocess
import sys

import pytest
import torch

from backend.errors import HumanRefError
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.field.encodings.triton_cuda import TritonEncoding

LAYOUT = HashGridLayout(levels=6, log2_table=11, base_resolution=5, growth=1.7)

# Triton decides when it is imported whether it interprets: each check has a process of its own.
_AGREE = """
import torch
from backend.field.encodings.grid import HashGridLayout
from backend.field.encodings.reference import ReferenceEncoding
from backend.field.encodings.triton_cuda import TritonEncoding

layout = HashGridLayout(levels=6, log2_table=11, base_resolution=5, growth=1.7)
torch.manual_seed(0)
torch.set_default_device("{device}")
points = torch.rand({count}, 3)
points[:2] = torch.tensor([[float("nan"), 0.5, 2.0], [-1.0, float("inf"), 0.25]])
into_features, into_jacobian = torch.randn({count}, 12), torch.randn({count}, 3, 8) * 0.05
start = torch.randn(layout.total, 2)
results = []
for encoding in (ReferenceEncoding(layout), TritonEncoding(layout)):
    table = start.clone().requires_grad_()
    features, jacobian = encoding.with_jacobian(points, table, 4)
    torch.autograd.backward((features, jacobian), (into_features, into_jacobian))
    plain = encoding(points, table, 3)
    results.append((features.detach(), jacobian.detach(), table.grad, plain.detach()))
for twin, fast in zip(*results, strict=True):
    assert twin.shape == fast.shape
    # A point on a cell's face may be rounded into either cell: the Jacobian jumps there.
    off = ((twin - fast).abs() > 1e-4 * twin.abs().max()).double().mean()
    assert float(off) < 1e-4, float(off)
empty = TritonEncoding(layout).with_jacobian(torch.empty(0, 3), start.requires_grad_())
(empty[0].sum() + empty[1].sum()).backward()
assert float(start.grad.abs().max()) == 0.0
print("agree")
"""

_COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from backend.field.encodings import triton_kernels

pointers = dict.fromkeys(
    ("points", "table", "scales", "features", "jacobian", "feature_grads", "jacobian_grads",
     "table_grads"), "*fp32") | dict.fromkeys(("resolutions", "sizes", "dense_levels"), "*i32")
types = pointers | {"offsets": "*i64", "n": "i32", "levels": "i32", "jacobian_levels": "i32"}
for kernel in (triton_kernels.encode, triton_kernels.scatter):
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs={"BLOCK": 256})
    made = compile(source, target=GPUTarget("cuda", 80, 32))
    assert len(made.asm["cubin"]) > 1000
print("compiled")
"""


def _run(script: str, **environment: str) -> str:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


def test_triton_agrees_with_its_twin_in_values_jacobian_and_gradients():
    script = _AGREE.format(device="cpu", count=300)
    assert _run(script, TRITON_INTERPRET="1") == "agree"


def test_the_kernels_compile_for_a_gpu_that_is_not_here(tmp_path):
    assert _run(_COMPILE, TRITON_CACHE_DIR=str(tmp_path)) == "compiled"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_triton_agrees_with_its_twin_on_a_gpu():
    assert _run(_AGREE.format(device="cuda", count=20_000)) == "agree"


def test_it_refuses_what_a_gpu_kernel_cannot_read(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(HumanRefError) as error:
        TritonEncoding(LAYOUT)(torch.rand(4, 3), torch.zeros(LAYOUT.total, 2))
    assert error.value.code == "encoding_device"
    with pytest.raises(HumanRefError) as error:
        make_encoding("triton", LAYOUT, "cpu")
    assert error.value.code == "encoding_unavailable"

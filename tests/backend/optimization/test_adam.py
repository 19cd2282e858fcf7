import subprocess
import sys

import pytest
import torch
from torch import Tensor

from backend.optimization.adam import Adam


def _parameters() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator).requires_grad_() for s in ((300, 2), (5, 7), ())]


def _groups(parameters: list[Tensor]) -> list[dict]:
    return [{"params": parameters[:1], "lr": 1e-2}, {"params": parameters[1:], "lr": 1e-3}]


def _steps(optimizer: Adam | torch.optim.Adam, parameters: list[Tensor], steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        # The last parameter is left out of every other step.
        used = parameters if step % 2 else parameters[:-1]
        sum((torch.sin((step + 1) * p) ** 2).sum() for p in used).backward()
        optimizer.step()


def test_every_step_equals_torchs_own_class() -> None:
    ours, theirs = _parameters(), _parameters()
    _steps(Adam(_groups(ours), (0.9, 0.99), 1e-15), ours, range(7))
    twin = torch.optim.Adam(_groups(theirs), betas=(0.9, 0.99), eps=1e-15, fused=True)
    _steps(twin, theirs, range(7))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_state_continues_a_run() -> None:
    whole, parts = _parameters(), _parameters()
    optimizer = Adam(_groups(whole), (0.9, 0.99), 1e-15)
    _steps(optimizer, whole, range(6))
    first = Adam(_groups(parts), (0.9, 0.99), 1e-15)
    _steps(first, parts, range(3))
    second = Adam(first.param_groups, (0.9, 0.99), 1e-15)
    second.load_state_dict(first.state_dict())
    _steps(second, parts, range(3, 6))
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)
    with pytest.raises(ValueError, match="argument 2"):
        second.load_state_dict(Adam(_groups(parts)[:1], (0.9, 0.99), 1e-15).state_dict())


def test_a_step_does_not_load_the_compiler() -> None:
    code = """
import sys
import torch
from backend.optimization.adam import Adam
x = torch.ones(3, requires_grad=True)
optimizer = Adam([{"params": [x], "lr": 0.1}], (0.9, 0.99), 1e-15)
x.sum().backward()
optimizer.step()
assert float(x[0]) < 1.0
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

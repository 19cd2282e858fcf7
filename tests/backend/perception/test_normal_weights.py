"""Weights come back as they were written, and damaged ones are named as such."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from backend.errors import HumanRefError
from backend.perception.compact_normal_network import (
    CONDITIONS,
    NormalNetwork,
    NormalNetworkShape,
)
from backend.perception.normal_weights import (
    SHIPPED,
    load_normal_network,
    save_normal_network,
)
from backend.weight_files import CONFIG, WEIGHTS

TINY = NormalNetworkShape(fold=2, widths=(8, 16), blocks=1, groups=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = NormalNetwork(TINY)
    torch.nn.init.normal_(network.head.weight)
    save_normal_network(tmp_path / "weights", network, {"steps": 3})
    return tmp_path / "weights"


def test_half_precision_is_all_that_is_lost(folder: Path) -> None:
    torch.manual_seed(0)
    network = NormalNetwork(TINY)
    torch.nn.init.normal_(network.head.weight)
    again = load_normal_network(folder)
    assert again.shape == TINY
    assert not again.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value.half().float(), rtol=0, atol=0)
    answer = again(torch.randn(2, CONDITIONS, 16, 16))
    torch.testing.assert_close(answer.front.norm(dim=1), torch.ones(2, 16, 16))
    halves = 2 * sum(p.numel() for p in network.parameters())
    assert halves < (folder / WEIGHTS).stat().st_size < halves + 8_000
    assert json.loads((folder / CONFIG).read_text())["training"] == {"steps": 3}


def refused(folder: Path) -> HumanRefError:
    with pytest.raises(HumanRefError) as caught:
        load_normal_network(folder)
    assert str(folder) in caught.value.message
    assert "--normals-provider body" in caught.value.hint
    return caught.value


def test_one_changed_bit_is_noticed(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(data))
    error = refused(folder)
    assert error.code == "weights_corrupt"
    assert WEIGHTS in error.message


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    error = refused(folder)
    assert error.code == "weights_missing"
    assert name in error.message


@pytest.mark.parametrize(
    "change",
    [
        "{",
        "[]",
        {"shape": {"depth": 3}},
        {"format": 99},
        {"sha256": "0" * 64},
        {"shape": {"fold": 2, "widths": [8, 24], "blocks": 1, "groups": 4}},
        {"shape": {"fold": 2, "widths": [8, 16], "blocks": 1, "groups": 3}},
    ],
)
def test_a_config_of_something_else_is_refused(folder: Path, change: str | dict) -> None:
    path = folder / CONFIG
    if isinstance(change, dict):
        change = json.dumps({**json.loads(path.read_text()), **change})
    path.write_text(change)
    assert refused(folder).code == "weights_corrupt"


def test_the_shipped_weights_are_whole_and_small() -> None:
    network = load_normal_network()
    assert sum(p.numel() for p in network.parameters()) < 7e6
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 16e6
    validation = json.loads((SHIPPED / CONFIG).read_text())["training"]["validation"]
    assert validation["front_deg"] < 0.5 * validation["body_front_deg"]
    assert validation["back_deg"] < 0.5 * validation["body_back_deg"]
    assert (SHIPPED / "README.md").is_file()

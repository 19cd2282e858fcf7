"""The compact prior's folder: half precision there and back, digests, diffusers' own loader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ellipsoid_people import TINY, tiny_network

from backend.errors import HumanRefError
from backend.guidance.compact_files import (
    BIAS,
    INDEX,
    SEAMS,
    UNET,
    check_compact,
    is_compact,
    read_compact,
    write_compact,
)

CPU = torch.device("cpu")
LICENCE = "CC0-1.0 (a test)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    size = write_compact(tiny_network(), tmp_path / "prior", LICENCE, {"steps": 3})
    place = tmp_path / "prior"
    assert size == sum((place / name).stat().st_size for name in (UNET, BIAS, SEAMS))
    return place


def test_a_network_comes_back_in_half_precision(folder: Path) -> None:
    network = tiny_network()
    model = read_compact(folder, CPU)
    assert (model.licence, dict(model.training)) == (LICENCE, {"steps": 3})
    assert model.network.config == TINY
    assert not model.network.training
    before, after = network.state_dict(), model.network.state_dict()
    assert before.keys() == after.keys()
    assert {name.split(".")[0] for name in before} == {"unet", "biases", "seams"}
    assert before["seams.leave.weight"].any()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor.half().float()), name
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    # The biases are those that the attentions use.
    for layer, bias in zip(model.network.layers, model.network.biases, strict=True):
        processor = model.network.unet.get_submodule(layer.name).processor
        assert processor._bias is bias


def test_reading_draws_no_random_numbers(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    read_compact(folder, CPU)
    assert torch.equal(torch.rand(1), expected)


def test_plain_diffusers_reads_the_unet(folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet", variant="fp16")
    state = unet.state_dict()
    assert state.keys() == tiny_network().unet.state_dict().keys()
    for name, tensor in tiny_network().unet.state_dict().items():
        assert torch.equal(state[name].float(), tensor.half().float()), name


def test_equal_networks_make_equal_files(folder: Path, tmp_path: Path) -> None:
    write_compact(tiny_network(), tmp_path / "again", LICENCE, {"steps": 3})
    for file in folder.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "again" / file.relative_to(folder)).read_bytes()


def refused(folder: Path) -> HumanRefError:
    with pytest.raises(HumanRefError) as caught:
        read_compact(folder, CPU)
    error = caught.value
    assert error.message.endswith(".")
    assert ". " not in error.message
    return error


@pytest.mark.parametrize("name", [UNET, BIAS, SEAMS])
def test_one_wrong_byte_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-7] ^= 1
    (folder / name).write_bytes(data)
    error = refused(folder)
    assert error.code == "weights_corrupt"
    assert Path(name).name in error.message


@pytest.mark.parametrize("name", [INDEX, UNET, BIAS, SEAMS])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    error = refused(folder)
    assert error.code == "weights_missing"
    assert Path(name).name in error.message


@pytest.mark.parametrize(
    "change",
    [
        *({"channels": [16, 32, 64]}, {"heads": 0}, {"channels": None}, {"sha256": {}}),
        *({"geometry": False}, {"licence": ...}),
    ],
)
def test_an_index_that_does_not_fit_its_weights_is_refused(folder: Path, change: dict) -> None:
    index = json.loads((folder / INDEX).read_text())
    for key, value in change.items():
        if value is ...:
            del index[key]
        else:
            index[key] = value
    (folder / INDEX).write_text(json.dumps(index))
    assert refused(folder).code == "weights_corrupt"


def test_only_a_compact_priors_folder_is_one(folder: Path, tmp_path: Path) -> None:
    assert is_compact(folder)
    assert not is_compact(tmp_path / "nowhere")
    check_compact(folder)
    for text in ("{", "[]", '{"_class_name": "StableDiffusionPipeline"}'):
        (folder / INDEX).write_text(text)
        assert not is_compact(folder)
        assert refused(folder).code == "weights_corrupt"

"""A published prior: its record, its card, and how a run knows that it is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from prior_people import tiny_trainer, tiny_training

from backend.guidance.compact_files import BIAS, SEAMS, UNET, read_compact
from backend.training.prior_card import LICENCE
from backend.training.prior_publishing import CARD, METRICS, PRIOR, publish_prior, published_record
from backend.training.prior_sheets import Validation
from backend.training.prior_sources import find_sources
from backend.training.prior_store import PeopleSplit


def test_prior_card_and_record_agree(
    packed: PeopleSplit, people_folder: Path, tmp_path: Path
) -> None:
    trainer = tiny_trainer(packed.train, tiny_training(2, seed=5))
    trainer.advance()
    sources = find_sources([people_folder])
    validation = Validation(packed.validation, tmp_path)
    record = publish_prior(tmp_path, trainer, sources, validation)
    assert json.loads((tmp_path / METRICS).read_text()) == record
    model = read_compact(tmp_path / PRIOR, torch.device("cpu"))
    assert model.licence == LICENCE
    assert dict(model.training) == record
    for name, tensor in trainer.average.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor.half().float()), name

    card = (tmp_path / PRIOR / CARD).read_text()
    parameters = sum(each.numel() for each in trainer.network.parameters())
    size = sum((tmp_path / PRIOR / name).stat().st_size for name in (UNET, BIAS, SEAMS))
    for told in (
        "humanref make-people ASSETS -o people0 --count 3 --seed 7 --size 128\n",
        "humanref train-prior people0 -o prior --steps 1 --seed 5\n",
        f"{parameters / 1e6:.1f} million parameters, {size / 1e6:.1f} MB",
        "2 people to learn from, 1 to measure with",
        "widths 16, 32, 32, 4 heads",
        f"| one step from t = 500 | {record['validation']['denoise_500']:.2f} | ",
        f"| - | {record['validation']['mirror_back']:.2f} |",
        "1 people x 2 views of 64 x 128 pixels",
        LICENCE,
    ):
        assert told in card, told

    assert published_record(tmp_path, 1) == record
    assert published_record(tmp_path, 2) is None
    for name in (METRICS, f"{PRIOR}/{CARD}", f"{PRIOR}/{UNET}"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        assert published_record(tmp_path, 1) is None, name
        (tmp_path / name).write_bytes(data)
    other = json.dumps({**record, "seed": 6})
    (tmp_path / METRICS).write_text(other)
    assert published_record(tmp_path, 1) is None


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_nothing_published_is_no_error(tmp_path: Path, text: str) -> None:
    assert published_record(tmp_path, 1) is None
    (tmp_path / METRICS).write_text(text)
    assert published_record(tmp_path, 1) is None

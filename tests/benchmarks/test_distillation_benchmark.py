"""benchmarks/distillation.py and toy_prior.py: dolls, errors and verdict by definition; a short run."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from backend.body.model import Region
from backend.guidance.prior import DiffusionPrior

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[ModuleType, ModuleType]]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("distillation"), importlib.import_module("toy_prior")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_a_doll_shares_its_colours_and_only_its_front_has_a_face(
    scripts: tuple[ModuleType, ModuleType],
) -> None:
    _, toy = scripts
    doll = toy.draw_doll(np.random.default_rng(5))
    again = toy.draw_doll(np.random.default_rng(5))
    np.testing.assert_array_equal(doll.back, again.back)
    for part in (Region.LOWER, Region.FEET):
        front, back = (
            doll.front[doll.front_labels == part],
            doll.back[doll.back_labels == part],
        )
        assert len(front)
        assert len(back)
        np.testing.assert_array_equal(np.unique(front, axis=0), np.unique(back, axis=0))
    assert len(np.unique(doll.front[doll.front_labels == Region.HEAD], axis=0)) == 3
    assert len(np.unique(doll.back[doll.back_labels == Region.HEAD], axis=0)) == 1


def test_the_toy_is_a_prior_whose_latents_are_the_picture(
    scripts: tuple[ModuleType, ModuleType],
) -> None:
    prior = scripts[1].ToyPrior()
    assert isinstance(prior, DiffusionPrior)
    picture = torch.rand(1, 3, 32, 32)
    assert prior.encode(picture).shape == (1, *prior.latent_shape)
    torch.testing.assert_close(prior.decode(prior.encode(picture)), picture)


def test_errors_are_those_of_mean_colours(scripts: tuple[ModuleType, ModuleType]) -> None:
    distillation, toy = scripts
    doll = toy.draw_doll(np.random.default_rng(5))
    assert distillation.region_errors(doll.back, doll) == [0.0] * 4
    shifted = doll.back.copy()
    shifted[doll.back_labels == Region.UPPER] += (0.3, 0.0, 0.0)
    np.testing.assert_allclose(
        distillation.region_errors(shifted, doll), [0.0, 0.1, 0.0, 0.0], atol=1e-6
    )


def test_the_verdict_names_what_ref_sds_does_not_beat(
    scripts: tuple[ModuleType, ModuleType],
) -> None:
    distillation, _ = scripts
    others = ("grey start", "SDS", "Ref-SDS, swapped regions", "Ref-SDS, no regions")
    good = {name: [0.2] * 4 for name in others}
    assert distillation.verdict({**good, "Ref-SDS": [0.05] * 4}) == []
    faults = distillation.verdict({**good, "SDS": [0.06] * 4, "Ref-SDS": [0.05] * 4})
    assert len(faults) == 1
    assert "SDS (0.060)" in faults[0]


def test_a_short_run_paints_inside_the_silhouette_and_reports(
    scripts: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distillation, toy = scripts
    monkeypatch.setattr(distillation, "CACHE", tmp_path / "cache")
    words = ["--train-steps", "2", "--dolls", "1", "--steps", "2"]
    words += ["--picture", str(tmp_path / "a.jpg"), "--json", str(tmp_path / "a.json")]
    assert distillation.main(words) == 1, "two steps of training teach nothing"
    report = json.loads((tmp_path / "a.json").read_text())
    assert set(report["errors"]) == {"grey start", *(m.title for m in distillation.METHODS)}
    assert report["faults"]
    assert (tmp_path / "a.jpg").stat().st_size > 1000
    prior = distillation.trained_prior(2, print)
    doll = toy.draw_doll(np.random.default_rng(1))
    painted = distillation.paint(prior, doll, distillation.METHODS[3], 2, 7.5, seed=0)
    outside = doll.back_labels == 0
    np.testing.assert_allclose(painted[outside], 0.5)
    assert float(np.abs(painted[~outside] - 0.5).max()) > 0.01

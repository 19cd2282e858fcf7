"""Who a prior learns from: counted, noted, and not exchanged in the middle of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.errors import HumanRefError
from backend.training.prior_sources import claim_sources, find_sources


def make(folder: Path, train: int, validation: int) -> Path:
    for split, count in (("train", train), ("validation", validation)):
        (folder / split).mkdir(parents=True)
        for k in range(count):
            (folder / split / f"person_{k:05d}.npz").write_bytes(b"x" * (k + 1))
    return folder


def test_people_are_counted_and_their_making_is_known(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", 9, 1), make(tmp_path / "two", 3, 2)
    (one / "people.json").write_text(json.dumps({"count": 10, "seed": 4, "size": 128}))
    (two / "people.json").write_text("{")
    first, second = find_sources([one, two])
    assert (first.train, first.validation) == (9, 1)
    assert first.made_with == "--count 10 --seed 4 --size 128"
    assert (second.train, second.validation, second.made_with) == (3, 2, None)
    assert find_sources([two, one]) == (second, first)


def test_folders_without_people_of_both_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HumanRefError, match="No folder") as caught:
        find_sources([])
    assert caught.value.code == "people_missing"
    make(tmp_path / "no_validation", 3, 0)
    for name, what in (("nowhere", "learn from"), ("no_validation", "measure with")):
        with pytest.raises(HumanRefError, match=what) as caught:
            find_sources([tmp_path / name])
        assert caught.value.code == "people_missing"


def test_a_run_keeps_its_people(tmp_path: Path) -> None:
    folder, other = make(tmp_path / "people", 3, 1), make(tmp_path / "other", 4, 1)
    run = tmp_path / "run"
    sources = find_sources([folder, other])
    claim_sources(run, sources)
    claim_sources(run, find_sources([folder, other]))
    person = folder / "train" / "person_00001.npz"
    person.write_bytes(person.read_bytes() + b"changed")
    for people in (find_sources([folder, other]), sources[::-1], sources[:1]):
        with pytest.raises(HumanRefError) as caught:
            claim_sources(run, people)
        assert caught.value.code == "people_other"

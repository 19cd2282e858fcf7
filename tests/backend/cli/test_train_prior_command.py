"""``humanref train-prior`` as a person runs it: a prior, a stop, a second call, and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ellipsoid_people import TINY, write_people

from backend.cli import app
from backend.events import Event, Step
from backend.guidance.compact_files import check_compact
from backend.training import prior_publishing, prior_training
from backend.training.prior_batches import BatchShape
from backend.training.prior_training import PriorTraining


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_people(tmp_path_factory.mktemp("people"), train=1, validation=1)


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(steps: int, seed: int) -> PriorTraining:
        return PriorTraining(
            steps=steps, seed=seed, network=TINY, batch=BatchShape(people=1, targets=2, width=64)
        )

    monkeypatch.setattr(prior_training, "PriorTraining", tiny)


def call(people: Path, run: Path, *options: str) -> int:
    common = ("--device", "cpu", "--threads", "1")
    return app.main(["train-prior", str(people), "-o", str(run), *common, *options])


def weights(run: Path) -> list[torch.Tensor]:
    state: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    return list(state["average"].values())


def test_a_prior_is_made_stopped_continued_and_made_once(
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert call(people, whole, "--steps", "3", "--json") == 0
    streams = capsys.readouterr()
    result = json.loads(streams.out)
    assert (result["steps"], result["trained"]) == (3, 3)
    assert result["validation"] == json.loads((whole / "metrics.json").read_text())["validation"]
    assert "optimization: 3/3, loss" in streams.err
    check_compact(Path(result["output"]))
    assert {file.name for file in whole.iterdir()} == {
        *("packed", "checkpoint.pt", "sheet_3.png", "metrics.json", prior_publishing.PRIOR),
    }

    before = {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.is_file()}
    assert call(people, whole, "--steps", "3") == 0
    assert "nothing was trained" in capsys.readouterr().out
    after = {file: file.stat().st_mtime_ns for file in whole.rglob("*") if file.is_file()}
    assert after == before

    # Ctrl-C while a step is taken: it is finished first.
    advance = prior_training.PriorTrainer.advance

    def interrupted(trainer: prior_training.PriorTrainer) -> float:
        import signal

        if trainer.step == 1:
            signal.raise_signal(signal.SIGINT)
        return advance(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(prior_training.PriorTrainer, "advance", interrupted)
        assert call(people, stopped, "--steps", "3") == 130
    assert "holds 2 of 3 steps. The same command goes on from there." in capsys.readouterr().err
    assert not (stopped / "prior").exists()
    assert call(people, stopped, "--steps", "3") == 0
    assert "from step 2" in capsys.readouterr().err
    for one, two in zip(weights(whole), weights(stopped), strict=True):
        assert torch.equal(one, two)


def test_what_cannot_be_done_is_said_before_it_is_begun(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"

    def refused(*options: str, source: Path = people) -> str:
        assert call(source, run, *options, "--json") == 2
        error = json.loads(capsys.readouterr().out)["error"]
        assert error["message"].endswith(".")
        return str(error["code"])

    for option in ("--steps=0", "--seed=-1", "--threads=5000"):
        assert refused(option) == "option_out_of_range"
    assert refused(source=tmp_path / "nobody") == "people_missing"
    assert not run.exists()

    assert call(people, run, "--steps", "1") == 0
    capsys.readouterr()
    assert refused("--steps=1", "--seed=1") == "checkpoint_other"
    others = write_people(tmp_path / "others", train=2, validation=1)
    assert refused("--steps=1", source=others) == "people_other"
    (run / "checkpoint.pt").write_bytes(b"half a file")
    assert refused("--steps=1") == "checkpoint_broken"


def test_too_small_a_disk_is_found_first(
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10**8))
    assert call(people, tmp_path / "run", "--steps", "1") == 2
    assert "100 MB free" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_stop_while_people_are_packed_keeps_them(
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from backend.cli import train_prior_command

    def watcher() -> Any:
        progress = real()
        seen = type(progress).__call__

        def call_or_stop(self: Any, event: Event) -> None:
            seen(self, event)
            if isinstance(event, Step):
                raise KeyboardInterrupt

        monkeypatch.setattr(type(progress), "__call__", call_or_stop)
        return progress

    real = train_prior_command.make_progress
    monkeypatch.setattr(train_prior_command, "make_progress", watcher)
    run = tmp_path / "run"
    assert call(people, run, "--steps", "1") == 130
    assert f"{run} holds what was finished" in capsys.readouterr().err
    assert len(list(run.rglob("person_*[0-9].npy"))) == 1

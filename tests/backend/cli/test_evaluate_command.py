"""``humanref evaluate``: what is refused before anything runs, and how a stop is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.errors import Cancelled
from backend.evaluation import runner


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "people"
    (folder / "anna" / "views").mkdir(parents=True)
    (folder / "anna" / "photo.png").write_bytes(b"a photo")
    return folder


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--limit", "0"], "option_out_of_range", "--limit 0"),
        (["--steps", "0"], "option_out_of_range", "--steps 0"),
        (["--prior", "here", "--methods", "body"], "option_conflict", "none of the methods asks"),
        (["--methods", "recon"], "dataset_incomplete", "anna lacks views/color_000.png"),
    ],
)
def test_refusals(
    humanref: Callable[..., Any],
    dataset: Path,
    tmp_path: Path,
    options: list[str],
    code: str,
    said: str,
) -> None:
    output = tmp_path / "report"
    ended = humanref("evaluate", dataset, "-o", output, "--json", *options)
    assert ended.code == 2
    error = json.loads(ended.out)["error"]
    assert error["code"] == code
    assert said in error["message"]
    assert not output.exists()


def test_an_output_inside_the_dataset_would_be_a_subject(
    humanref: Callable[..., Any], dataset: Path
) -> None:
    ended = humanref("evaluate", dataset, "-o", dataset / "report")
    assert ended.code == 2
    assert "would pass for a subject" in ended.err
    assert not (dataset / "report").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Cancelled("Stopped.", "Nothing was kept.")])
def test_ctrl_c_says_what_is_kept(
    humanref: Callable[..., Any],
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: BaseException,
) -> None:
    def stopped(request: Any, on_event: Any) -> None:
        raise stop

    monkeypatch.setattr(runner, "evaluate", stopped)
    ended = humanref("evaluate", dataset, "-o", tmp_path / "report")
    assert ended.code == 130
    assert "results" in ended.err
    assert "Run the same command to go on." in ended.err
    assert "Nothing was kept" not in ended.err

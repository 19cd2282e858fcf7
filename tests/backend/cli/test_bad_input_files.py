"""Bad files, options and places: one sentence, exit code 2, nothing half-written."""

import errno
import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from backend import results


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def refused(humanref: Callable, tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused and leave the folder as it was; its error code."""

    def run(*words: object) -> str:
        before = listing(tmp_path)
        ended = humanref(*words, "--json")
        assert ended.code == 2, ended.err
        error = json.loads(ended.out)["error"]
        assert error["message"].count("\n") == 0
        assert error["hint"]
        assert ended.err.rstrip().endswith(f"humanref: {error['message']} {error['hint']}")
        assert "Traceback" not in ended.err
        assert listing(tmp_path) == before
        return str(error["code"])

    return run


@pytest.mark.parametrize("command", ["generate", "estimate"])
def test_places_that_cannot_be_written(
    command: str, portrait: Path, tmp_path: Path, refused: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = {"generate": ".glb", "estimate": ".json"}[command]
    taken = tmp_path / f"taken{ending}"
    taken.write_text("mine")
    assert refused(command, portrait, "-o", taken) == "output_exists"
    assert refused(command, portrait, "-o", taken / "sub" / f"a{ending}") == "unwritable"
    assert refused(command, portrait, "-o", tmp_path / "a.fbx") == "output_format"
    assert refused(command, portrait, "-o", tmp_path / "in") == "output_format"
    assert taken.read_text() == "mine"
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    assert refused(command, portrait, "-o", tmp_path / f"a{ending}") == "disk_full"


def test_artifacts_are_checked_like_the_output(
    portrait: Path, tmp_path: Path, refused: Callable
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "run.json").write_text("mine")
    generate = ("generate", portrait, "-o", tmp_path / "a.glb")
    assert refused(*generate, "--artifacts", kept) == "output_exists"
    assert refused(*generate, "--artifacts", portrait) == "unwritable"
    clash = ("generate", portrait, "-o", kept / "mesh.ply", "--artifacts", kept)
    assert refused(*clash) == "output_clash"
    assert refused("estimate", portrait, "-o", tmp_path / "a.json", "--overlay", portrait) == (
        "output_is_input"
    )


def test_options_that_cannot_be(
    portrait: Path, tmp_path: Path, refused: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    generate = ("generate", portrait, "-o", tmp_path / "a.glb")
    assert refused(*generate, "--device", "cuda") == "cuda_missing"
    assert refused(*generate, "--resume") == "checkpoint_missing"
    assert refused(*generate, "--height-cm", "3") == "option_out_of_range"
    for option in ("--mask", "--regions", "--normals-front", "--normals-back", "--pose"):
        assert refused(*generate, option, tmp_path / "none") == "file_missing"


def test_unknown_device_is_refused_by_name(portrait: Path, humanref: Callable) -> None:
    ended = humanref("generate", portrait, "-o", portrait.with_name("a.glb"), "--device", "tpu")
    assert ended.code == 2
    assert "tpu" in ended.err
    assert "cpu" in ended.err
    assert listing(portrait.parent) == ["portrait.png"]


def test_smplx_without_its_file(portrait: Path, tmp_path: Path, refused: Callable) -> None:
    generate = ("generate", portrait, "-o", tmp_path / "a.glb")
    wrong = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez(wrong, nothing=np.zeros(3))
    assert refused(*generate, "--smplx-model", wrong) == "option_conflict"
    smplx = (*generate, "--body", "smplx")
    assert refused(*smplx, "--smplx-model", tmp_path / "none.npz") == "smplx_missing"
    assert refused(*smplx) == "smplx_missing"
    assert refused(*smplx, "--smplx-model", wrong).startswith("smplx")


@pytest.fixture(scope="session")
def good_pose(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The pose.json of the astronaut."""
    from backend.cli import main

    folder = tmp_path_factory.mktemp("pose")
    Image.fromarray(astronaut).save(folder / "photo.png")
    assert main(["estimate", str(folder / "photo.png"), "-o", str(folder / "pose.json")]) == 0
    return dict(json.loads((folder / "pose.json").read_text()))


def edited(change: dict[str, Any]) -> Callable[[dict[str, Any]], str]:
    return lambda pose: json.dumps({**pose, **change})


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda pose: "{", id="not JSON"),
        pytest.param(lambda pose: "[1, 2]", id="a list"),
        pytest.param(lambda pose: "", id="empty"),
        pytest.param(lambda pose: "\x00\xff\x00", id="binary"),
        pytest.param(edited({"format": "other"}), id="another format"),
        pytest.param(edited({"version": 99}), id="a later version"),
        pytest.param(edited({"body_pose": [[0.0, 0.0, 0.0]] * 20}), id="20 of 21 joints"),
        pytest.param(edited({"transl": [0.0, float("nan"), 0.0]}), id="NaN"),
        pytest.param(edited({"betas": "tall"}), id="words for numbers"),
        pytest.param(edited({"global_orient": [0.0, 1.5, 0.0]}), id="joints elsewhere"),
        pytest.param(edited({"photo": {"width": 9, "height": 9, "sha256": ""}}), id="other photo"),
        pytest.param(edited({"model": "smplx"}), id="another body"),
        pytest.param(edited({"scale": -1.0}), id="negative scale"),
    ],
)
def test_pose_files_that_are_unreadable_or_contradict_themselves(
    make: Callable, good_pose: dict, portrait: Path, tmp_path: Path, refused: Callable
) -> None:
    pose = tmp_path / "pose.json"
    pose.write_text(make(good_pose), encoding="latin-1")
    words = ("generate", portrait, "-o", tmp_path / "a.glb", "--pose", pose)
    code = refused(*words)
    assert code.startswith(("pose", "body")), code


@pytest.mark.parametrize("option", ["--mask", "--regions", "--normals-front", "--normals-back"])
def test_own_maps_of_the_wrong_size_or_kind(
    option: str, portrait: Path, tmp_path: Path, refused: Callable
) -> None:
    brought = tmp_path / "brought.png"
    words = ("generate", portrait, "-o", tmp_path / "a.glb", option, brought)
    Image.fromarray(np.full((40, 50, 3), 255, np.uint8)).save(brought)
    assert refused(*words)
    brought.write_text("not a picture")
    assert refused(*words)


def test_a_disk_that_fills_up_while_writing(
    portrait: Path, tmp_path: Path, refused: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(path: Path) -> None:
        path.write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    writers = {"pose.json": lambda path: path.write_text("{}"), "overlay.png": half}
    monkeypatch.setattr(results, "estimate_files", lambda _: writers)
    new = tmp_path / "new"
    words = ("estimate", portrait, "-o", new / "deep" / "a.json", "--overlay", new / "a.png")
    assert refused(*words) == "disk_full"

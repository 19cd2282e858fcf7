"""Datasets that are not what they should be are named before anything runs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.errors import HumanRefError
from backend.evaluation.dataset import check_subject, find_subjects, load_truth


@pytest.fixture
def dataset(write_subject: Callable[[Path], Path], tmp_path: Path) -> Path:
    first = write_subject(tmp_path / "people" / "anna")
    shutil.copytree(first, first.with_name("ben"))
    (first.parent / "notes.txt").write_text("no subject")
    return first.parent


def read_all(dataset: Path) -> None:
    for folder in find_subjects(dataset):
        check_subject(folder)
        load_truth(folder)


def refused(code: str, dataset: Path, *words: str) -> None:
    with pytest.raises(HumanRefError) as told:
        read_all(dataset)
    assert told.value.code == code
    assert all(word in told.value.message for word in words), told.value.message


def test_a_whole_dataset(dataset: Path) -> None:
    assert [folder.name for folder in find_subjects(dataset)] == ["anna", "ben"]
    assert [folder.name for folder in find_subjects(dataset, 1)] == ["anna"]
    truth = load_truth(dataset / "anna")
    assert truth.half_height == 1.0
    assert len(truth.joints) == 55
    # The normal pictures hold the body's frame: at the back they point backwards.
    seen = truth.colors[180][..., 3] > 0.5
    assert truth.normals[180][seen][:, 2].mean() < -0.5


def test_wrong_places(dataset: Path, tmp_path: Path) -> None:
    refused("dataset_missing", tmp_path / "nowhere", "does not exist")
    refused("dataset_missing", dataset / "notes.txt", "is a file")
    refused("dataset_layout", dataset / "anna", "one subject")
    (tmp_path / "empty").mkdir()
    refused("dataset_empty", tmp_path / "empty")
    (tmp_path / "other" / "things").mkdir(parents=True)
    refused("dataset_layout", tmp_path / "other", "things")


def test_a_missing_view_is_named(dataset: Path) -> None:
    (dataset / "ben" / "views" / "color_225.png").unlink()
    refused("dataset_incomplete", dataset, "ben", "views/color_225.png")


def test_a_view_of_another_size(dataset: Path) -> None:
    path = dataset / "ben" / "views" / "color_090.png"
    Image.fromarray(np.zeros((64, 64, 4), np.uint8)).save(path)
    refused("dataset_file_invalid", dataset, "views/color_090.png", "64x64")


def test_a_view_of_nobody(dataset: Path) -> None:
    path = dataset / "anna" / "views" / "color_090.png"
    Image.fromarray(np.zeros((512, 512, 4), np.uint8)).save(path)
    refused("dataset_file_invalid", dataset, "views/color_090.png", "nobody")


def test_a_view_that_is_cut_off(dataset: Path) -> None:
    path = dataset / "anna" / "views" / "color_000.png"
    path.write_bytes(path.read_bytes()[:2000])
    refused("dataset_file_invalid", dataset, "views/color_000.png")


def test_a_joint_too_few_and_a_joint_that_is_no_point(dataset: Path) -> None:
    path = dataset / "anna" / "body.json"
    content = json.loads(path.read_text())
    content["joints"]["left_knee"] = [1, 2]
    path.write_text(json.dumps(content))
    refused("dataset_file_invalid", dataset, "left_knee")
    del content["joints"]["left_knee"]
    path.write_text(json.dumps(content))
    refused("dataset_file_invalid", dataset, "left_knee")
    path.write_text("{}")
    refused("dataset_file_invalid", dataset, "body.json")


def test_a_mesh_that_is_none(dataset: Path) -> None:
    (dataset / "anna" / "mesh.ply").write_text("ply")
    refused("dataset_file_invalid", dataset, "mesh.ply")

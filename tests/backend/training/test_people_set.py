"""Sets of people: equal for equal seeds, whole after a stop, never over what is not theirs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from toy_people import ToyBase

from backend.cli import app, make_people_command
from backend.errors import HumanRefError
from backend.events import Event, ignore_events
from backend.geometry.cameras import OrthographicCamera
from backend.geometry.rasterizer import rasterize
from backend.training import base_body
from backend.training.body_fit import BodyFitter
from backend.training.people_set import (
    PeopleSettings,
    assets_digest,
    entries,
    make_people,
    needed_bytes,
    open_set,
)
from backend.training.wardrobe import Wardrobe
from shared_protocol.skeleton import JOINT_NAMES

SIZE = 48


@pytest.fixture(scope="module")
def wardrobe(toy_assets: Path) -> Wardrobe:
    return Wardrobe(toy_assets)


@pytest.fixture(scope="module")
def fitter(toy_base: ToyBase) -> BodyFitter:
    return BodyFitter(toy_base, toy_base.body)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_stopped_set_goes_on_and_ends_the_same(
    tmp_path: Path, wardrobe: Wardrobe, toy_base: ToyBase, fitter: BodyFitter
) -> None:
    settings = PeopleSettings(count=3, seed=5, size=SIZE, evaluation=False)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    digest = assets_digest(wardrobe)
    open_set(whole, settings, digest, force=False)
    steps: list[Event] = []
    assert make_people(whole, settings, wardrobe, toy_base, fitter, steps.append) == 3
    assert [(s.step, s.total) for s in steps] == [(1, 3), (2, 3), (3, 3)]
    made = files(whole)
    assert set(made) == {"people.json", *(entry.name for entry in entries(settings))}
    assert sum(map(len, made.values())) < needed_bytes(settings)

    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    open_set(stopped, settings, digest, force=False)
    with pytest.raises(KeyboardInterrupt):
        make_people(stopped, settings, wardrobe, toy_base, fitter, stop)
    assert len(files(stopped)) == 2
    (stopped / "train" / ".humanref-torn").write_bytes(b"half")
    open_set(stopped, settings, digest, force=False)
    assert make_people(stopped, settings, wardrobe, toy_base, fitter, ignore_events) == 2
    assert files(stopped) == made

    with np.load(io.BytesIO(made["train/person_00000.npz"])) as sample:
        covered = sample["color"][..., 3] > 0
        assert covered.shape == (16, SIZE, SIZE)
        assert 0.03 < covered.mean() < 0.4
        normal = sample["normal"][sample["color"][..., 3] == 255] / 255.0 * 2 - 1
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1.0, atol=0.02)
        # The fit is near: most of the naked body lies under the clothes.
        naked = sample["region"] > 0
        assert (naked & covered).sum() > 0.85 * naked.sum()
        assert sample["azimuth"][0] == 0.0
        assert sample["full_pose"].shape == (55, 3)


def test_folders_of_others_are_left_alone(tmp_path: Path, wardrobe: Wardrobe) -> None:
    digest = assets_digest(wardrobe)
    first = PeopleSettings(count=2, seed=0, size=SIZE, evaluation=False)
    other = PeopleSettings(count=2, seed=1, size=SIZE, evaluation=False)
    folder = tmp_path / "people"
    open_set(folder, first, digest, force=False)
    (folder / "train").mkdir()
    (folder / "train" / "person_00000.npz").write_bytes(b"old")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(HumanRefError, match="--force") as error:
        open_set(folder, other, digest, force=False)
    assert error.value.code == "output_exists"
    open_set(folder, other, digest, force=True)
    assert set(files(folder)) == {"notes.txt", "people.json"}
    assert json.loads((folder / "people.json").read_text())["seed"] == 1

    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.txt").write_text("mine")
    with pytest.raises(HumanRefError, match="not made by make-people"):
        open_set(strange, first, digest, force=True)
    assert set(files(strange)) == {"thesis.txt"}


def test_a_subject_is_what_the_layout_says(
    tmp_path: Path, wardrobe: Wardrobe, toy_base: ToyBase
) -> None:
    settings = PeopleSettings(count=1, seed=2, size=SIZE, evaluation=True)
    make_people(tmp_path, settings, wardrobe, toy_base, None, ignore_events)
    subject = tmp_path / "subject_000"
    colors = {f"views/color_{a:03d}.png" for a in range(0, 360, 45)}
    normals = {"views/normal_000.png", "views/normal_180.png"}
    assert set(files(subject)) == colors | normals | {"photo.png", "mesh.ply", "body.json"}
    record = json.loads((subject / "body.json").read_text())
    assert tuple(record["joints"]) == JOINT_NAMES
    mesh = trimesh.load(subject / "mesh.ply", process=False)
    ortho = record["ortho"]
    for azimuth in (0, 90, 180):
        camera = OrthographicCamera(
            float(azimuth), 0.0, ortho["half_height"], tuple(ortho["center"])
        )
        raster = rasterize(camera.project(np.asarray(mesh.vertices)), np.asarray(mesh.faces), 512)
        view = np.asarray(Image.open(subject / f"views/color_{azimuth:03d}.png"))
        assert view.shape == (512, 512, 4)
        drawn = view[..., 3] > 127
        # The surface knows no holes in the hair: it covers a little more than the picture.
        union = (drawn | raster.covered).sum()
        assert (drawn & raster.covered).sum() > 0.97 * union
    for azimuth, sign in ((0, 1.0), (180, -1.0)):
        picture = np.asarray(Image.open(subject / f"views/normal_{azimuth:03d}.png")) / 255.0
        normal = picture[picture[..., 3] == 1.0][:, :3] * 2 - 1
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1.0, atol=0.02)
        assert (sign * normal[:, 2] > -0.02).all()
    assert Image.open(subject / "photo.png").size == (768, 1024)


def run(*argv: str) -> int:
    return app.main(["make-people", *argv])


def test_the_command_makes_refuses_and_stops(
    tmp_path: Path,
    toy_assets: Path,
    toy_base: ToyBase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(base_body, "AnnyBase", lambda: toy_base)
    out = tmp_path / "people"
    common = ("-o", str(out), "--size", "32")
    assert run(str(tmp_path / "gone"), *common, "--count", "1") == 2
    assert "There is no assets folder" in capsys.readouterr().err
    assert run(str(toy_assets), *common, "--count", "0") == 2
    assert "--count 0 makes no sense" in capsys.readouterr().err
    assert not out.exists()

    full = type("usage", (), {"free": 1000})()
    with monkeypatch.context() as small:
        small.setattr("shutil.disk_usage", lambda path: full)
        assert run(str(toy_assets), *common, "--count", "1") == 2
    assert "MB free" in capsys.readouterr().err
    assert not out.exists()

    assert run(str(toy_assets), *common, "--count", "1", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"]
    assert result["made"] == 1
    assert run(str(toy_assets), *common, "--count", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["made"] == 0
    assert run(str(toy_assets), *common, "--count", "2") == 2
    assert "--force" in capsys.readouterr().err

    def interrupted(*args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("backend.training.people_set.make_people", interrupted)
    assert run(str(toy_assets), *common, "--count", "1") == 130
    assert "1 of 1 people are in" in capsys.readouterr().err
    assert make_people_command.MAX_COUNT >= 3000


def test_without_anny_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "anny", None)
    with pytest.raises(HumanRefError, match=r"humanref\[bake\]") as error:
        base_body.AnnyBase()
    assert error.value.code == "anny_missing"

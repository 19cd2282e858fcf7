"""Bodies, shells and wardrobes: each against what it says of itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from toy_people import ToyBase

from backend.body.pose import BodyPose
from backend.errors import HumanRefError
from backend.geometry.mesh import vertex_normals
from backend.training.body_fit import BodyFitter
from backend.training.casting import STYLES, cast
from backend.training.dressing import dress
from backend.training.fabrics import FAMILIES, PLAIN
from backend.training.figure import blend_skin
from backend.training.poses import sample_pose
from backend.training.shells import landmarks, skirt, top
from backend.training.wardrobe import Wardrobe, members


def test_the_base_moves_as_the_body_model_does(toy_base: ToyBase) -> None:
    pose = sample_pose(np.random.default_rng(3), calm=False, turn=0.3)
    shape = toy_base.shape({"height": 0.8})
    matrices, joints = shape.pose(pose)
    moved = blend_skin(shape.vertices, shape.weights, matrices)
    betas = toy_base.betas({"height": 0.8})
    twin = toy_base.body.pose(BodyPose(betas=betas, full_pose=pose, transl=np.zeros(3)))
    np.testing.assert_allclose(moved, twin.vertices, atol=2e-5)
    np.testing.assert_allclose(joints, twin.joints, atol=2e-5)


def test_the_exact_fit_finds_the_shape(toy_base: ToyBase, toy_assets: Path) -> None:
    fitter = BodyFitter(toy_base, toy_base.body)
    casting = cast(Wardrobe(toy_assets), seed=1, split="train", number=0, turn=0.0)
    person = dress(toy_base, Wardrobe(toy_assets), casting)
    fitted = fitter.posed(fitter.exact(person))
    assert np.linalg.norm(fitted.joints - person.joints, axis=1).max() < 2e-3
    assert abs(min(layer.vertices[layer.faces, 1].min() for layer in person.layers)) < 1e-9


def test_a_base_of_another_average_is_matched_point_by_point() -> None:
    """Matched from the two averages alone, nearest points slide by centimetres and stay there."""
    other = ToyBase(mean=(-1.0, 1.5, -1.2, 1.0))
    body = other.body
    shape = other.shape({"height": 0.7})
    betas = BodyFitter(other, body).betas(shape)
    found = body.pose(BodyPose(betas, np.zeros((55, 3)), np.zeros(3))).vertices
    assert np.linalg.norm(found - shape.vertices, axis=1).max() < 2e-3


def test_a_skirt_surrounds_the_legs(toy_base: ToyBase) -> None:
    shape = toy_base.shape({})
    marks = landmarks(shape)
    made = skirt(shape, marks, hem=marks.height(0.9), offset=0.02, flare=0.1, folds=0.0)
    outward = (vertex_normals(made.vertices, made.faces) * made.vertices * [1, 0, 1]).sum(1)
    assert (outward > 0).mean() > 0.97
    np.testing.assert_allclose(made.weights.sum(1), 1.0)
    low = (shape.vertices[:, 1] < marks.hip) & (shape.vertices[:, 1] > marks.height(0.9))
    legs = shape.vertices[low & ~marks.arm]
    for leg in legs[::40]:
        ring = made.vertices[np.abs(made.vertices[:, 1] - leg[1]) < 0.02]
        toward = leg[[0, 2]] / np.linalg.norm(leg[[0, 2]])
        assert (ring[:, [0, 2]] @ toward).max() > leg[[0, 2]] @ toward + 0.01
    assert made.hides[low & ~marks.arm & (shape.vertices[:, 1] > marks.height(0.8))].all()


def test_a_shirt_keeps_its_distance_and_its_borders(toy_base: ToyBase) -> None:
    shape = toy_base.shape({})
    marks = landmarks(shape)
    made = top(shape, marks, hem=marks.waist, sleeve=0.4, offset=0.02, opening=0.0)
    from scipy.spatial import cKDTree

    distance = cKDTree(shape.vertices).query(made.vertices)[0]
    assert np.percentile(distance, 5) > 0.006
    assert distance.max() < 0.05
    assert made.vertices[:, 1].min() > marks.waist - 0.03
    assert made.vertices[:, 1].max() < float(shape.head("head")[1])
    wrist = abs(shape.head("wrist.L")[0])
    assert np.abs(made.vertices[:, 0]).max() < wrist - 0.1
    np.testing.assert_allclose(made.weights.sum(1), 1.0, atol=1e-6)


def test_the_splits_share_nothing(toy_assets: Path) -> None:
    wardrobe = Wardrobe(toy_assets)
    for names in (wardrobe.outfits, wardrobe.hair, FAMILIES, STYLES):
        train, held_out = members(names, "train"), members(names, "validation")
        assert train
        assert held_out
        assert sorted(train + held_out) == sorted(names)
    worn = {
        split: [cast(wardrobe, seed=0, split=split, number=k, turn=0.1) for k in range(40)]
        for split in ("train", "validation")
    }
    for what in (
        lambda c: {c.outfit},
        lambda c: {c.hair},
        lambda c: {f.family for f in c.fabrics} - {PLAIN},
    ):
        sets = [set().union(*map(what, castings)) for castings in worn.values()]
        assert not sets[0] & sets[1]
        assert all(sets)


def test_people_depend_on_seed_and_number_alone(toy_assets: Path) -> None:
    wardrobe = Wardrobe(toy_assets)
    again = [cast(wardrobe, seed=4, split="train", number=7, turn=0.1) for _ in range(2)]
    assert repr(again[0]) == repr(again[1])
    for seed, number in ((5, 7), (4, 8)):
        other = cast(wardrobe, seed=seed, split="train", number=number, turn=0.1)
        assert not np.allclose(other.pose, again[0].pose)


def test_what_an_assets_folder_lacks_is_named(toy_assets: Path, tmp_path: Path) -> None:
    with pytest.raises(HumanRefError, match="no assets folder") as missing:
        Wardrobe(tmp_path / "nowhere")
    assert missing.value.code == "assets_missing"
    partial = tmp_path / "partial"
    shutil.copytree(toy_assets, partial)
    shutil.rmtree(partial / "eyebrows")
    shutil.rmtree(partial / "hair" / "long")
    with pytest.raises(HumanRefError) as error:
        Wardrobe(partial)
    assert error.value.code == "assets_partial"
    assert "eyebrows/*/*.mhclo (0 of 1)" in error.value.message
    assert "hair/*/*.mhclo (1 of 2)" in error.value.message
    assert "clothes" not in error.value.message


def test_a_garment_for_another_body_is_refused(
    toy_base: ToyBase, toy_assets: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "assets"
    shutil.copytree(toy_assets, folder)
    clo = folder / "hair" / "long" / "long.mhclo"
    clo.write_text(clo.read_text().replace("verts 0\n", "verts 0\n").replace(" 1 0 0 ", "9 1 0 0 "))
    with pytest.raises(HumanRefError) as error:
        Wardrobe(folder).wear("hair", "long", toy_base.topology)
    assert error.value.code == "asset_broken"

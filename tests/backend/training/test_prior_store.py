"""Packed people: what went in comes out, once, and what cannot be packed is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ellipsoid_people import SIDE, body_picture, clothed_picture, write_person

from backend.errors import HumanRefError
from backend.events import Event, Step, ignore_events
from backend.training.prior_store import STAGE, PeopleSplit, pack_people


def test_packed_views_are_those_of_the_file(packed: PeopleSplit) -> None:
    assert (len(packed.train), len(packed.validation)) == (2, 1)
    person = packed.train[1]
    assert len(person) == 16
    views = person.views([8, 0])
    np.testing.assert_array_equal(views.azimuth, [180.0, 0.0])
    body = body_picture(180.0)
    on_body = body.region > 0
    np.testing.assert_array_equal(views.region[0], body.region)
    np.testing.assert_allclose(views.color[0], clothed_picture(180.0, seed=1), atol=0.502 / 255)
    np.testing.assert_allclose(views.body_normal[0][on_body], body.normal[on_body], atol=0.005)
    np.testing.assert_allclose(views.canonical[0][on_body], body.canonical[on_body], atol=0.009)
    assert not views.body_normal[0][~on_body].any()
    assert not views.canonical[0][views.near[0] == 0].any()
    assert (views.near[0][on_body] == 1.0).all()

    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    photo = views.places[1]
    near = views.near[1] > 0
    np.testing.assert_array_equal(photo.valid, near)
    away = np.hypot(photo.xy[..., 0] - columns, photo.xy[..., 1] - rows)[near]
    assert away.max() < 0.6


def test_larger_pictures_are_shrunk_by_coverage(tmp_path: Path) -> None:
    write_person(tmp_path / "person_00000.npz", seed=4, size=2 * SIDE)
    with np.load(tmp_path / "person_00000.npz") as file:
        color = file["color"][0].astype(float)
    (person,) = pack_people(tmp_path, tmp_path / "packed", ignore_events)
    found = person.views([0]).color[0]
    for row, column in ((64, 64), (12, 64), (70, 82), (0, 0)):
        block = color[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(4, 4)
        share = block[:, 3] / 255.0
        mean = (block[:, :3] * share[:, None]).sum(0) / max(share.sum(), 1e-9)
        np.testing.assert_allclose(found[row, column, :3] * 255.0, mean, atol=0.51)
        np.testing.assert_allclose(found[row, column, 3], share.mean(), atol=0.51 / 255)
    edge = (found[..., 3] > 0.1) & (found[..., 3] < 0.9)
    assert edge.any()
    # Straight colours stay straight: the rim is no darker than the cloth beside it.
    assert found[edge][:, :3].max(-1).min() > 0.1


def test_people_are_packed_once_and_the_rest_on_the_next_call(tmp_path: Path) -> None:
    for k in range(2):
        write_person(tmp_path / f"person_{k:05d}.npz", seed=k)
    seen: list[Event] = []

    def stop(event: Event) -> None:
        seen.append(event)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_people(tmp_path, tmp_path / "packed", stop)
    assert len(pack_people(tmp_path, tmp_path / "packed", seen.append)) == 2
    assert [(e.stage, e.step, e.total) for e in seen if isinstance(e, Step)] == [
        (STAGE, 1, 2),
        (STAGE, 1, 1),
    ]
    pack_people(tmp_path, tmp_path / "packed", seen.append)
    assert len(seen) == 2


def test_people_that_cannot_be_packed(tmp_path: Path) -> None:
    def refused(name: str) -> HumanRefError:
        with pytest.raises(HumanRefError) as caught:
            pack_people(tmp_path / name, tmp_path / "packed" / name, ignore_events)
        return caught.value

    assert refused("nobody").code == "people_missing"
    for name in ("cut", "garbage", "poor"):
        write_person(tmp_path / name / "person_00000.npz", seed=0, size=32)
    cut = tmp_path / "cut" / "person_00000.npz"
    cut.write_bytes(cut.read_bytes()[:5000])
    (tmp_path / "garbage" / "person_00000.npz").write_bytes(b"no zip at all")
    np.savez(tmp_path / "poor" / "person_00000.npz", color=np.zeros((16, 128, 128, 4), np.uint8))
    for name in ("cut", "garbage", "poor"):
        error = refused(name)
        assert error.code == "people_broken"
        assert f"{name}/person_00000.npz" in error.message
    write_person(tmp_path / "small" / "person_00000.npz", seed=0, size=96)
    error = refused("small")
    assert error.code == "people_size"
    assert "96 pixels" in error.message
    assert not list((tmp_path / "packed").rglob("*.npy"))


@pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them"
)
def test_people_keep_no_file_open(packed: PeopleSplit) -> None:
    """A set has more people than files that a process may open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    people = [type(packed.train[0])(packed.train[0].path) for _ in range(20)]
    for person in people:
        person.views([0])
    assert len(list(Path("/proc/self/fd").iterdir())) <= before

"""Whatever is wrong with a photo or a setting arrives in the panel as code, message and hint."""

import os
import subprocess
from pathlib import Path
from typing import Any

import bpy
import pytest
from artist import EXAMPLE, Artist


@pytest.fixture(scope="module")
def bad_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of them."""
    folder = tmp_path_factory.mktemp("bad")
    script = Path(__file__).with_name("make_bad_photos.py")
    subprocess.run([os.environ["HUMANREF_PYTHON"], script, EXAMPLE, folder], check=True)
    return folder


def expect(problem: Any, *codes: str) -> None:
    assert problem.code in codes, problem
    assert problem.message.rstrip().endswith((".", "!", "?"))
    assert "\n" not in problem.message
    assert problem.hint
    assert "Traceback" not in problem.message + problem.hint
    assert f"[{problem.code}]" in problem.as_text()


def refused(artist: Artist, operator: Any, **options: Any) -> Any:
    """The problem of an operator that Blender itself can judge."""
    with pytest.raises(RuntimeError) as error:
        operator(**options)
    problem = artist.session.problem
    artist.session.dismiss_problem()
    assert problem is not None
    assert problem.message in str(error.value)
    return problem


@pytest.mark.parametrize("name", ["text.png", "empty.jpg"])
def test_files_that_are_no_pictures(
    name: str, scene: Any, backend: Artist, bad_photos: Path
) -> None:
    problem = refused(backend, bpy.ops.humanref.open_photo, filepath=str(bad_photos / name))
    expect(problem, "photo_unreadable")
    assert name in problem.message
    assert backend.settings.photo is None


def test_a_photo_that_is_not_there(scene: Any, backend: Artist, tmp_path: Path) -> None:
    problem = refused(backend, bpy.ops.humanref.open_photo, filepath=str(tmp_path / "no.png"))
    expect(problem, "photo_unreadable", "photo_missing")


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("corrupt.png", ("photo_unreadable",)),
        ("corrupt.jpg", ("photo_unreadable",)),
        ("nobody.png", ("no_person",)),
        ("tiny-person.png", ("no_person", "person_not_visible", "person_too_small")),
        ("tiny-picture.png", ("photo_too_small",)),
        ("transparent.png", ("photo_empty",)),
        ("flat.png", ("photo_empty",)),
    ],
)
@pytest.mark.parametrize("operator", ["estimate", "generate"])
def test_pictures_that_cannot_become_a_person(
    operator: str,
    name: str,
    codes: tuple[str, ...],
    scene: Any,
    backend: Artist,
    bad_photos: Path,
) -> None:
    try:
        backend.open_photo(bad_photos / name)
    except RuntimeError:
        # Some broken files Blender cannot open either.
        problem = backend.session.problem
        backend.session.dismiss_problem()
        expect(problem, "photo_unreadable")
        return
    assert getattr(bpy.ops.humanref, operator)() == {"FINISHED"}
    expect(backend.wait_for_problem(), *codes)
    assert backend.settings.rig is None
    assert not backend.session.book.active()


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({"person": 8}, ("person_index",)),
        ({"device": "cuda"}, ("cuda_missing",)),
        ({"body": "smplx"}, ("smplx_missing",)),
    ],
)
def test_settings_that_cannot_be(
    settings: dict[str, Any], codes: tuple[str, ...], scene: Any, backend: Artist
) -> None:
    backend.open_photo()
    for name, value in settings.items():
        setattr(backend.settings, name, value)
    assert bpy.ops.humanref.estimate() == {"FINISHED"}
    expect(backend.wait_for_problem(), *codes)


def test_a_photo_that_is_deleted_after_it_was_opened(
    scene: Any, backend: Artist, tmp_path: Path
) -> None:
    photo = tmp_path / "gone.png"
    photo.write_bytes(EXAMPLE.read_bytes())
    backend.open_photo(photo)
    photo.unlink()
    expect(refused(backend, bpy.ops.humanref.estimate), "photo_unreadable", "photo_missing")


def test_after_all_that_a_good_photo_still_works(scene: Any, backend: Artist) -> None:
    backend.open_photo()
    assert backend.estimate() is not None

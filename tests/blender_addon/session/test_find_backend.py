from pathlib import Path

import pytest
from humanref_addon.session.find_backend import find_humanref
from humanref_addon.session.problem import ProblemError


def command(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def find(preferred: str, home: Path, path: str = "") -> Path:
    return find_humanref(preferred, environ={"PATH": path}, home=home, windows=False)


@pytest.mark.parametrize("inside", ["bin/humanref", ".venv/bin/humanref", "venv/bin/humanref"])
def test_an_environments_folder_is_enough(tmp_path: Path, inside: str) -> None:
    wanted = command(tmp_path / "env" / inside)
    assert find(str(tmp_path / "env"), tmp_path) == wanted


def test_the_preference_comes_first_then_path_then_the_usual_places(tmp_path: Path) -> None:
    own = command(tmp_path / "own" / "humanref")
    on_path = command(tmp_path / "path" / "humanref")
    usual = command(tmp_path / ".local" / "bin" / "humanref")
    assert find(str(own), tmp_path, str(on_path.parent)) == own
    assert find("", tmp_path, str(on_path.parent)) == on_path
    assert find("", tmp_path, str(tmp_path / "nowhere")) == usual


def test_windows_scripts(tmp_path: Path) -> None:
    wanted = command(tmp_path / "Scripts" / "humanref.exe")
    assert find_humanref(str(tmp_path), environ={}, home=tmp_path, windows=True) == wanted


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    plain = command(tmp_path / "plain", mode=0o644)
    for preferred, words in {
        "": "was not found",
        str(tmp_path / "empty"): "holds no humanref command",
        str(plain): "cannot be run",
        str(tmp_path / "gone"): "does not exist",
    }.items():
        if not preferred and Path("/usr/local/bin/humanref").exists():
            continue
        with pytest.raises(ProblemError, match=words) as caught:
            find(preferred, tmp_path / "home")
        assert caught.value.problem.code == "backend_not_found"
        assert caught.value.problem.hint

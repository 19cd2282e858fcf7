"""Where the ``humanref`` command is: by preference, on PATH, or where installers put it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from .problem import ProblemError

INSTALL_HINT = (
    "Install humanref as its README says, then choose its folder in the add-on's preferences."
)


def find_humanref(
    preferred: str = "",
    *,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
    windows: bool = sys.platform == "win32",
) -> Path:
    """The backend's executable.

    Args:
        preferred: the preference: the command itself, or a folder (a virtual environment, or one that
            holds ``.venv``). Where it is given, nothing else is tried.
        environ: environment variables, for PATH.
        home: home folder.
        windows: whether commands end in ``.exe``.

    Raises:
        ProblemError: ``backend_not_found``, with how to install it.
    """
    if preferred.strip():
        return _by_preference(Path(preferred.strip()).expanduser(), windows)
    environ = os.environ if environ is None else environ
    found = shutil.which("humanref", path=environ.get("PATH", ""))
    if found:
        return Path(found)
    # Programs that a desktop starts often miss the shell's PATH (always on macOS).
    for candidate in _usual_places(home or Path.home(), environ, windows):
        if _runs(candidate):
            return candidate
    raise ProblemError(
        "backend_not_found", "The humanref backend was not found on this computer.", INSTALL_HINT
    )


def _by_preference(path: Path, windows: bool) -> Path:
    if path.is_dir():
        for inside in _commands_of(path, windows):
            if _runs(inside):
                return inside
        raise ProblemError(
            "backend_not_found",
            f"The folder {path} holds no humanref command.",
            "Choose the virtual environment in which humanref is installed, or leave the path empty.",
        )
    if _runs(path):
        return path
    what = "cannot be run" if path.exists() else "does not exist"
    raise ProblemError(
        "backend_not_found",
        f"The backend command {path} {what}.",
        "Correct the path in the add-on's preferences, or leave it empty to search for it.",
    )


def _commands_of(folder: Path, windows: bool) -> Iterator[Path]:
    scripts, name = ("Scripts", "humanref.exe") if windows else ("bin", "humanref")
    for environment in (folder, folder / ".venv", folder / "venv"):
        yield environment / scripts / name
    yield folder / name


def _usual_places(home: Path, environ: Mapping[str, str], windows: bool) -> Iterator[Path]:
    name = "humanref.exe" if windows else "humanref"
    yield home / ".local" / "bin" / name
    if windows:
        yield (
            Path(environ.get("APPDATA", home / "AppData" / "Roaming")) / "Python" / "Scripts" / name
        )
    else:
        yield Path("/opt/homebrew/bin") / name
        yield Path("/usr/local/bin") / name
    yield from _commands_of(home / "humanref", windows)


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)

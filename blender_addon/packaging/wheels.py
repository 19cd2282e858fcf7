"""The wheels inside the extension: which package, for which Blender's Python, on which system."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PYTHON_VERSIONS = ("3.11", "3.13")
"""Of Blender 4.2 to 5.0, and of 5.1 and later (and of Debian's Blender 4.3)."""

PIP_PLATFORMS = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "macos-arm64": ("macosx_11_0_arm64",),
    "macos-x64": ("macosx_11_0_x86_64",),
    "windows-x64": ("win_amd64",),
}
"""Blender's name of a platform -> pip's names of the wheels that run there."""


class WheelsError(Exception):
    """A package has no wheel for a Blender that we promise."""


def download(requirements: Path, platforms: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """Wheels of ``requirements`` for every Python and platform, sorted; pip is asked once a list.

    Raises WheelsError where a wheel cannot be had.
    """
    wanted = "\n".join([requirements.read_text(), *PYTHON_VERSIONS, *sorted(platforms)])
    stamp = folder / "complete.txt"
    if not (stamp.is_file() and stamp.read_text() == wanted):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for python in PYTHON_VERSIONS:
            for platform in platforms:
                _pip_download(requirements, python, platform, folder)
        stamp.write_text(wanted)
    return tuple(sorted(folder.glob("*.whl")))


def _pip_download(requirements: Path, python: str, platform: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # Every package is named in the list: one that pulls in another unasked is noticed by the tests.
    command += ["--no-deps", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", python]
    for name in PIP_PLATFORMS[platform]:
        command += ["--platform", name]
    command += ["--requirement", str(requirements), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise WheelsError(f"Python {python} on {platform}: pip said\n{done.stderr.strip()}")

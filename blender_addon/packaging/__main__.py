"""`python blender_addon/packaging --tool BLENDER_EXT --out FOLDER`: the extension's zips, one a platform.

Blender's own `blender_ext.py` builds and validates them; it runs under a plain Python and is part of
every Blender and of the bpy package.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from staging import StagingError, check_version, stage
from wheels import PIP_PLATFORMS, WheelsError, download

REPOSITORY = Path(__file__).resolve().parents[2]


class BuildError(Exception):
    """Blender's tool refused."""


def build(tool: Path, out: Path) -> list[Path]:
    """Zips in ``out``, validated; older ones of ours there are removed."""
    check_version(REPOSITORY)
    platforms = sorted(PIP_PLATFORMS)
    wheels = download(Path(__file__).with_name("wheels.txt"), platforms, out / "wheels")
    folder = out / "stage"
    stage(REPOSITORY, folder, wheels, platforms)
    fresh = out / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    _blender_ext(
        tool, "build", "--split-platforms", "--source-dir", str(folder), "--output-dir", str(fresh)
    )
    for old in out.glob("*.zip"):
        old.unlink()
    zips = []
    for made in sorted(fresh.glob("*.zip")):
        _blender_ext(tool, "validate", str(made))
        zips.append(made.replace(out / made.name))
    fresh.rmdir()
    if len(zips) != len(platforms):
        raise BuildError(f"{len(platforms)} platforms, but {len(zips)} zips")
    return zips


def _blender_ext(tool: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, str(tool), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"blender_ext.py {arguments[0]}:\n{done.stdout}{done.stderr}".strip())


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the Blender extension.")
    parser.add_argument("--tool", type=Path, required=True, help="Blender's blender_ext.py")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "addon")
    options = parser.parse_args()
    try:
        zips = build(options.tool.resolve(), options.out.resolve())
    except (BuildError, StagingError, WheelsError) as error:
        print(f"The extension was not built: {error}", file=sys.stderr)
        return 1
    for path in zips:
        print(f"{path}  ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The extension's folder as Blender's own tool packs it: add-on, shared protocol, wheels, manifest."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

MANIFEST = "blender_manifest.toml"
NOT_PACKED = ("packaging", "__pycache__", "*.pyc", ".*")
"""Names below blender_addon/ and shared_protocol/ that stay at home."""


class StagingError(Exception):
    """The sources do not make an extension."""


def check_version(repository: Path) -> str:
    """The version of the manifest, which must be that of pyproject.toml.

    Raises StagingError where it is missing or of another version.
    """
    path = repository / "blender_addon" / MANIFEST
    if not path.is_file():
        raise StagingError(f"{path} is missing")
    manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    expected = project["project"]["version"]
    if manifest.get("version") != expected:
        raise StagingError(
            f"{MANIFEST} says version {manifest.get('version')}, pyproject.toml {expected}"
        )
    return str(expected)


def stage(repository: Path, folder: Path, wheels: Sequence[Path], platforms: Sequence[str]) -> None:
    """Fill ``folder``, anew, with all that goes into the zips."""
    shutil.rmtree(folder, ignore_errors=True)
    ignore = shutil.ignore_patterns(*NOT_PACKED)
    # Copies, not links: Blender's tool leaves symbolic links out without a word.
    shutil.copytree(repository / "blender_addon", folder, ignore=ignore)
    shutil.copytree(repository / "shared_protocol", folder / "shared_protocol", ignore=ignore)
    shutil.copy2(repository / "LICENSE", folder / "LICENSE")
    (folder / "wheels").mkdir()
    for wheel in wheels:
        shutil.copy2(wheel, folder / "wheels" / wheel.name)
    manifest = folder / MANIFEST
    lists = {"platforms": list(platforms), "wheels": [f"./wheels/{w.name}" for w in wheels]}
    manifest.write_text(with_lists(manifest.read_text(encoding="utf-8"), lists), encoding="utf-8")


def with_lists(manifest: str, lists: Mapping[str, Sequence[str]]) -> str:
    """The manifest's text with these lists of strings before its first table, as TOML wants it.

    Raises StagingError where the text has one of the lists already.
    """
    twice = sorted(set(lists) & set(tomllib.loads(manifest)))
    if twice:
        raise StagingError(f"{MANIFEST} has {', '.join(twice)} itself; the build fills that in")
    block = []
    for key, values in lists.items():
        block += [f"{key} = [", *(f'  "{value}",' for value in values), "]"]
    lines = manifest.splitlines()
    tables = (i for i, line in enumerate(lines) if re.match(r"\s*\[{1,2}[\w.-]+\]", line))
    first_table = next(tables, len(lines))
    text = "\n".join([*lines[:first_table], *block, "", *lines[first_table:]]) + "\n"
    made = tomllib.loads(text)
    if any(made.get(key) != list(values) for key, values in lists.items()):
        raise StagingError(f"{MANIFEST}: the lists could not be put in")
    return text

"""What goes into the extension's zip, and what must not."""

import ast
import importlib
import shutil
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[3]
PACKAGING = REPOSITORY / "blender_addon" / "packaging"


@pytest.fixture
def staging(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(PACKAGING)
    return importlib.import_module("staging")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "pyzmq-1.0-cp311-cp311-win_amd64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zmq/__init__.py", "")
    return path


def test_the_lists_come_before_the_first_table(staging: ModuleType) -> None:
    text = (
        'id = "x"\ntags = [\n  "Import-Export",\n]\n# [not a table]\n\n[permissions]\nfiles = "f"\n'
    )

    made = tomllib.loads(staging.with_lists(text, {"wheels": ["./wheels/a.whl"], "platforms": []}))

    assert made["wheels"] == ["./wheels/a.whl"]
    assert made["platforms"] == []
    assert made["permissions"] == {"files": "f"}
    assert made["tags"] == ["Import-Export"]


def test_a_list_that_is_there_already_is_refused(staging: ModuleType) -> None:
    with pytest.raises(staging.StagingError, match="wheels"):
        staging.with_lists('wheels = ["./a.whl"]\n', {"wheels": []})


def test_another_version_than_the_projects_is_refused(staging: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "blender_addon").mkdir()
    manifest = REPOSITORY / "blender_addon" / "blender_manifest.toml"
    own = tomllib.loads(manifest.read_text(encoding="utf-8"))["version"]
    shutil.copy2(manifest, tmp_path / "blender_addon")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.0.1"\n')
    with pytest.raises(staging.StagingError, match=r"0\.0\.1"):
        staging.check_version(tmp_path)
    assert staging.check_version(REPOSITORY) == own


def test_the_staged_folder_is_whole_and_stands_alone(
    staging: ModuleType, wheel: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stage"
    staging.stage(REPOSITORY, folder, [wheel], ["windows-x64"])

    assert (folder / "__init__.py").is_file()
    assert (folder / "shared_protocol" / "version.py").is_file()
    assert (folder / "LICENSE").is_file()
    assert not (folder / "packaging").exists()
    assert not list(folder.rglob("__pycache__"))
    manifest = tomllib.loads((folder / "blender_manifest.toml").read_text(encoding="utf-8"))
    assert manifest["wheels"] == [f"./wheels/{wheel.name}"]
    assert (folder / manifest["wheels"][0]).is_file()
    assert manifest["platforms"] == ["windows-x64"]
    assert foreign_imports(folder) == {}


def foreign_imports(folder: Path) -> dict[str, list[str]]:
    """Absolute imports that are neither Blender's, Python's own, nor in the wheels."""
    allowed = set(sys.stdlib_module_names) | {
        *(
            "bpy",
            "bpy_extras",
            "bpy_types",
            "gpu",
            "gpu_extras",
            "bl_ui",
            "bl_operators",
            "blf",
            "mathutils",
        ),
        *("addon_utils", "rna_prop_ui", "nodeitems_utils", "idprop", "bmesh"),
        *("numpy", "zmq", "msgpack", "attrs", "attr", "cattrs", "typing_extensions"),
    }
    found = {}
    for path in folder.rglob("*.py"):
        names = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names += [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.append(node.module.split(".")[0])
        strangers = sorted(set(names) - allowed)
        if strangers:
            found[str(path.relative_to(folder))] = strangers
    return found

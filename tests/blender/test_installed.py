"""The zip brings all it needs and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import bpy


def test_the_wheels_come_from_the_zip(addon: ModuleType) -> None:
    import msgpack
    import zmq

    folder = Path(os.environ["BLENDER_USER_RESOURCES"])
    assert Path(zmq.__file__).is_relative_to(folder)
    assert Path(msgpack.__file__).is_relative_to(folder)
    assert zmq.has("curve")
    # The compiled part, for this very Python; msgpack falls back to a slow one without a word.
    assert msgpack.Packer.__module__ == "msgpack._cmsgpack"
    assert Path(addon.__file__ or "").is_relative_to(folder)


def test_every_operator_says_what_it_does(addon: ModuleType) -> None:
    operators = [name for name in dir(bpy.ops.humanref) if not name.startswith("_")]
    assert operators
    for name in operators:
        kind = getattr(bpy.ops.humanref, name).get_rna_type()
        assert kind.description, f"humanref.{name} has no tooltip"
        for prop in kind.properties:
            if prop.identifier != "rna_type" and not prop.is_hidden:
                assert prop.description, f"humanref.{name}.{prop.identifier} has no tooltip"


def test_twice_on_and_off_and_a_clean_exit(addon_zip: Path, tmp_path: Path) -> None:
    """In a Blender of its own: 4.2 crashes at exit where a class or a timer stays registered."""
    script = tmp_path / "on_and_off.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import bpy\n"
        "from pathlib import Path\n"
        "from installed import disable, enabled, install\n"
        "install(Path(sys.argv[1]))\n"
        "before = set(dir(bpy.types))\n"
        "disable()\n"
        "left = [name for name in dir(bpy.types) if name.startswith('HUMANREF')]\n"
        "assert not left, left\n"
        "assert not hasattr(bpy.types.Scene, 'humanref')\n"
        "enabled()\n"
        "assert set(dir(bpy.types)) == before\n"
        "disable()\n"
        "print('clean')\n"
    )
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path / "user")}
    done = subprocess.run(
        [sys.executable, str(script), str(addon_zip)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "clean" in done.stdout

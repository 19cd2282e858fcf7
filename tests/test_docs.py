"""The pages must not promise what is not there: tests, options and settings they name exist."""

import re
from pathlib import Path

import pytest

from backend.cli.arguments import parse
from backend.settings import LossSettings, preset_settings

ROOT = Path(__file__).parent.parent


def test_method_names_only_tests_that_exist() -> None:
    named = set(re.findall(r"\btest_\w+", (ROOT / "docs" / "method.md").read_text("utf-8")))
    defined: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        defined |= set(re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.MULTILINE))
    assert len(named) > 15
    assert named <= defined, named - defined


def test_readme_names_only_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    known = ""
    for command in ("generate", "estimate", "doctor", "serve", "keys"):
        with pytest.raises(SystemExit):
            parse([command, "--help"])
        known += capsys.readouterr().out
    known += (ROOT / "blender_addon" / "packaging" / "__main__.py").read_text("utf-8")
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", readme))
    assert len(options) > 15
    missing = {option for option in options if not re.search(rf"{option}(?![\w-])", known)}
    assert not missing


def test_method_tells_the_weights_that_are_used() -> None:
    text = (ROOT / "docs" / "method.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    losses = {
        "rgb": "rgb, L2, front",
        "iou": "IoU, front (Eq. 4)",
        "normal": "normal, L2, front and back",
        "sdf": "SDF to the body, L1",
        "smooth": "normal smoothness",
        "eikonal": "eikonal",
        "guidance": "mirror baseline",
        "sds": "Ref-SDS",
        "perceptual": "perceptual",
        "side_normal": "normal in profile, L2",
    }
    assert set(losses) == set(vars(LossSettings()))
    for name, title in losses.items():
        row = next(row for row in rows if row[0] == title)
        assert float(row[1].split()[-1]) == vars(preset_settings("paper").optimization.losses)[name]
        assert float(row[2]) == vars(preset_settings("standard").optimization.losses)[name]

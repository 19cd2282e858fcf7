"""What the doctor finds is what would run, and what is broken is named with a remedy."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import doctor
from backend.cli import main
from backend.devices import choose_device
from backend.doctor import REQUIRED_MODULES, examine, find_damage, find_problems
from backend.field.encodings import make_encoding
from backend.field.encodings.grid import HashGridLayout
from backend.guidance import compact_files
from backend.guidance.prior_choice import load_prior
from backend.guidance.stable_diffusion_files import DEFAULT_REPO
from backend.perception.providers import provider_report
from backend.settings import FieldSettings, GenerateSettings

STAGES = ["landmarks", "segmentation", "parsing", "caption", "normals", "body"]
STAGES += ["hash encoding", "guidance", "diffusion prior", "larger prior", "perceptual loss"]


def test_every_stage_is_listed_with_what_would_run_it() -> None:
    report = examine()
    assert report.problems == ()
    assert [row.stage for row in report.stages] == STAGES
    assert all(row.provider and row.why and row.licence for row in report.stages)
    rows = {row.stage: row for row in report.stages}
    for told in provider_report():
        assert (rows[told.stage].provider, rows[told.stage].why) == (told.provider, told.why)
    settings = FieldSettings()
    device = str(choose_device("auto").device)
    encoding, why = make_encoding(settings.encoding, HashGridLayout.from_settings(settings), device)
    assert (rows["hash encoding"].provider, rows["hash encoding"].why) == (encoding.name, why)
    assert rows["guidance"].provider == GenerateSettings().guidance == "ref-sds"
    assert "Ref-SDS" in rows["guidance"].why
    prior = load_prior(GenerateSettings().prior, torch.device("cpu"))
    row = rows["diffusion prior"]
    assert (row.provider, row.licence) == (prior.name, prior.licence)
    assert DEFAULT_REPO in rows["larger prior"].provider + rows["larger prior"].improve
    assert report.machine["device"].startswith(device)


def refuse_import(monkeypatch: pytest.MonkeyPatch, module: str, error: Exception) -> None:
    real = doctor.importlib.import_module

    def load(name: str, *rest: Any) -> Any:
        if name == module:
            raise error
        return real(name, *rest)

    monkeypatch.setattr(doctor.importlib, "import_module", load)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ImportError("libGL.so.1: cannot open shared object file"), "libgl1"),
        (ModuleNotFoundError("No module named 'cv2'"), "pip install humanref"),
        (OSError("a damaged library\nand more lines"), "Reinstall"),
    ],
)
def test_a_broken_part_is_named_with_a_remedy(
    error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_import(monkeypatch, "cv2", error)
    (problem,) = find_problems()
    assert problem.what == f"cv2 (pictures) does not load: {str(error).splitlines()[0]}"
    assert remedy in problem.remedy


def test_with_a_broken_part_no_stage_is_claimed_and_the_command_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_import(monkeypatch, "mcubes", ModuleNotFoundError("No module named 'mcubes'"))
    assert examine().stages == ()
    assert main(["doctor", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["code"] == "installation_broken"
    assert "mcubes (meshing)" in err


def test_a_damaged_prior_breaks_the_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copytree(compact_files.SHIPPED, tmp_path / "prior")
    bias = tmp_path / "prior" / compact_files.BIAS
    monkeypatch.setattr(compact_files, "SHIPPED", tmp_path / "prior")
    assert find_damage() == ()
    data = bytearray(bias.read_bytes())
    data[-1] ^= 1
    bias.write_bytes(data)
    assert main(["doctor"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert bias.name in said
    assert "damaged" in said
    assert "--prior" in said


def test_the_command_prints_every_stage_for_people_and_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for stage in STAGES:
        assert f"{stage}: " in text
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["stage"] for row in found["stages"]] == STAGES
    assert found["versions"]["torch"]


def test_required_modules_are_no_optional_extras() -> None:
    assert {"torch", "mediapipe", "pygltflib"} <= set(REQUIRED_MODULES)
    assert not {"smplx", "diffusers", "transformers", "torchvision"} & set(REQUIRED_MODULES)

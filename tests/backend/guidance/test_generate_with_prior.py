"""Photo to character through Ref-SDS with a tiny random Stable Diffusion, as a person would run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ellipsoid_people import tiny_network

from backend.cli import main
from backend.errors import Cancelled
from backend.events import Event, Step
from backend.guidance.compact_files import BIAS, INDEX, UNET, write_compact
from backend.guidance.prior_choice import named_prior
from backend.pipeline import Estimate, EstimateRequest, GenerateResult, estimate, generate
from backend.settings import FieldSettings, GenerateSettings, preset_settings

PHOTO = Path(__file__).parents[3] / "examples" / "photo.png"
STEPS = 12


@pytest.fixture(scope="module")
def person() -> Estimate:
    return estimate(EstimateRequest(PHOTO))


@pytest.fixture(scope="module")
def settings(tiny_folder: Path) -> GenerateSettings:
    draft = preset_settings("draft")
    return replace(
        draft,
        guidance="ref-sds",
        device="cpu",
        working_resolution=128,
        field=FieldSettings(levels=6, log2_table=12, max_resolution=64, body_grid=48),
        optimization=replace(
            draft.optimization, steps=STEPS, rays=512, resolutions=(32, 64), checkpoint_every=4
        ),
        prior=replace(
            named_prior(draft.prior, str(tiny_folder)),
            t_max=220,
            t_max_end=210,
            refine_from=0.5,
            refine_steps=5,
            refine_last=2,
            bank_views=3,
        ),
        meshing=replace(draft.meshing, resolution=64, faces=2000),
    )


@pytest.fixture(scope="module")
def whole(person: Estimate, settings: GenerateSettings) -> GenerateResult:
    return generate(person, settings)


def _vertices(result: GenerateResult) -> np.ndarray:
    return result.character.mesh.vertices


def test_the_run_is_whole_and_says_what_guided_it(whole: GenerateResult, tiny_folder: Path) -> None:
    assert {"sds", "perceptual", "side_normal"} <= set(whole.summary.losses)
    assert whole.summary.losses["sds"] > 0.0
    assert whole.summary.losses["perceptual"] > 0.0
    told = whole.providers["guidance"]
    assert told.startswith("Ref-SDS with region-aware attention; prior sd ")
    assert str(tiny_folder.parent) not in told


def test_a_seed_fixes_the_mesh(
    whole: GenerateResult, person: Estimate, settings: GenerateSettings
) -> None:
    again = generate(person, settings)
    np.testing.assert_array_equal(_vertices(again), _vertices(whole))
    np.testing.assert_array_equal(again.character.mesh.colors, whole.character.mesh.colors)
    changed = generate(person, replace(settings, seed=1))
    assert _vertices(changed).shape != _vertices(whole).shape or not np.array_equal(
        _vertices(changed), _vertices(whole)
    )


def test_a_stopped_run_resumes_to_the_same_character(
    whole: GenerateResult, person: Estimate, settings: GenerateSettings, tmp_path: Path
) -> None:
    """Stopped when the view bank holds pictures already."""
    path = tmp_path / "a.checkpoint"

    def stop(event: Event) -> None:
        if isinstance(event, Step) and event.stage == "optimization" and event.step >= STEPS - 2:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="--resume"):
        generate(person, settings, stop, checkpoint=path)
    resumed = generate(person, settings, checkpoint=path, resume=True)
    np.testing.assert_array_equal(_vertices(resumed), _vertices(whole))
    np.testing.assert_array_equal(resumed.character.mesh.colors, whole.character.mesh.colors)


def test_from_the_command_line(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "a.glb", tmp_path / "kept"
    words = f"generate {PHOTO} -o {out} --artifacts {kept} --guidance ref-sds --prior {tiny_folder}"
    short = "--preset draft --steps 4 --faces 4000 --device cpu"
    assert main([*words.split(), *short.split()]) == 0, capsys.readouterr().err
    assert out.read_bytes()[:4] == b"glTF"
    assert "Ref-SDS with region-aware attention" in capsys.readouterr().out
    text = (kept / "run.json").read_text()
    run = json.loads(text)
    assert run["guidance"].startswith("Ref-SDS with region-aware attention; prior sd ")
    assert run["settings"]["guidance"] == "ref-sds"
    assert run["losses"]["sds"] > 0.0
    assert str(tiny_folder) not in text


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """Run ``humanref generate`` with words that must be refused; what it says."""

    def run(*words: Any) -> str:
        out = tmp_path / "never.glb"
        code = main(["generate", str(PHOTO), "-o", str(out), *map(str, words)])
        said = capsys.readouterr()
        assert code == 2, said.err
        assert not out.exists()
        assert "Traceback" not in said.err
        # Nothing was looked at before the refusal.
        assert "segmentation" not in said.err
        return said.err

    return run


@pytest.mark.parametrize(
    ("name", "at", "told"),
    [
        (UNET, -1, "is damaged"),
        (BIAS, -1, "is damaged"),
        # The key under which the digests stand.
        (INDEX, b"sha256", "is damaged"),
        (UNET, None, "is missing"),
        (BIAS, None, "is missing"),
    ],
)
def test_a_harmed_compact_prior_is_named_before_the_photo(
    refused: Callable[..., str], tmp_path: Path, name: str, at: int | bytes | None, told: str
) -> None:
    folder = tmp_path / "prior"
    write_compact(tiny_network(), folder, "a test", {})
    harmed = folder / name
    data = bytearray(harmed.read_bytes())
    if at is None:
        harmed.unlink()
    else:
        data[at if isinstance(at, int) else data.index(at)] ^= 1
        harmed.write_bytes(data)
    said = " ".join(refused("--prior", folder).split())
    assert harmed.name in said
    assert told in said
    assert "Install HumanRef again" in said


def test_vsd_needs_a_stable_diffusion(refused: Callable[..., str]) -> None:
    said = " ".join(refused("--guidance", "vsd").split())
    assert "VSD is not possible with the compact prior" in said
    assert "--prior" in said


def test_the_paper_preset_without_its_prior_says_how_to_fetch_it(
    refused: Callable[..., str],
) -> None:
    said = " ".join(refused("--preset", "paper").split())
    assert "none was named" in said
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5 --revision" in said


def test_priors_that_are_none_are_refused_before_the_photo(
    refused: Callable[..., str], tiny_folder: Path, tmp_path: Path
) -> None:
    assert "no folder" in refused("--guidance", "sds", "--prior", tmp_path / "nowhere")
    xl = tmp_path / "xl"
    (xl / "text_encoder_2").mkdir(parents=True)
    assert "Stable Diffusion XL" in refused("--guidance", "ref-sds", "--prior", xl)
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(b"\x80\x04")
    assert "pickle" in refused("--guidance", "ref-sds", "--prior", pickle)
    assert "--guidance ref-sds" in refused("--guidance", "none", "--prior", tiny_folder)
    unpinned = refused("--guidance", "vsd", "--prior", "someone/something")
    assert "revision" in unpinned

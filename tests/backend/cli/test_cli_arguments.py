import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backend.cli.arguments import Estimate, Generate, generate_settings, parse
from backend.errors import HumanRefError
from backend.settings import COMPACT_PRIOR, PriorSettings, preset_settings


def test_every_option_of_generate_reaches_its_place() -> None:
    line = (
        "generate me.jpg -o me.glb --artifacts kept --preset draft --pose pose.json "
        "--guidance none --seed 5 --device cpu --faces 20000 --steps 33 --resume --force --json "
        "--texture 512 --person 1 --mask m.png --regions r.png --caption text --normals-front f.png "
        "--normals-back b.png --height-cm 160 --body smplx --smplx-model SMPLX_NEUTRAL.npz "
        "--segmentation a --parsing b --captioner c --normals-provider d"
    )
    command = parse(line.split())
    assert isinstance(command, Generate)
    assert (command.photo, command.output) == (Path("me.jpg"), Path("me.glb"))
    assert (command.artifacts, command.pose) == (Path("kept"), Path("pose.json"))
    assert command.resume
    assert command.force
    assert command.json
    assert command.person == 1
    own = command.your_own
    assert (own.mask, own.regions, own.caption) == (Path("m.png"), Path("r.png"), "text")
    assert (own.normals_front, own.normals_back) == (Path("f.png"), Path("b.png"))
    assert (command.body.model, command.body.smplx_model) == ("smplx", Path("SMPLX_NEUTRAL.npz"))
    providers = command.providers
    assert (providers.segmentation, providers.parsing) == ("a", "b")
    assert (providers.captioner, providers.normals_provider) == ("c", "d")
    settings = generate_settings(command)
    assert settings.preset == "draft"
    assert settings.field == preset_settings("draft").field
    assert (settings.guidance, settings.seed, settings.device) == ("none", 5, "cpu")
    assert (settings.optimization.steps, settings.meshing.faces) == (33, 20_000)
    assert settings.meshing.texture == 512
    assert settings.height_cm == 160.0
    none = parse(["generate", "me.jpg", "-o", "me.glb", "--texture", "0"])
    assert isinstance(none, Generate)
    assert generate_settings(none).meshing.texture == 0


def test_defaults_are_the_standard_preset() -> None:
    command = parse(["generate", "me.jpg", "-o", "me.glb"])
    assert isinstance(command, Generate)
    assert generate_settings(command) == preset_settings("standard")
    assert generate_settings(command).guidance == "ref-sds"
    estimate = parse(["estimate", "me.jpg", "-o", "pose.json", "--overlay", "pose.png"])
    assert isinstance(estimate, Estimate)
    assert estimate.overlay == Path("pose.png")


@pytest.mark.parametrize(
    "option",
    [
        *("--height-cm=5", "--height-cm=nan", "--height-cm=inf", "--faces=10", "--steps=0"),
        *("--seed=-1", "--texture=100", "--texture=-1", "--texture=100000"),
    ],
)
def test_senseless_numbers_are_refused(option: str) -> None:
    command = parse(["generate", "me.jpg", "-o", "me.glb", option])
    assert isinstance(command, Generate)
    with pytest.raises(HumanRefError) as refused:
        generate_settings(command)
    assert refused.value.code == "option_out_of_range"
    assert option.split("=")[0] in refused.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("generate me.jpg -o me.glb --device tpu", "cpu"),
        ("generate me.jpg -o me.glb --preset best", "draft"),
        ("generate me.jpg", "--output"),
        ("generate me.jpg -o me.glb --seed many", "--seed"),
        ("sculpt me.jpg", "generate"),
    ],
)
def test_wrong_lines_exit_with_2_and_say_what_is_possible(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(line.split())
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert out == ""


def test_help_and_argument_errors_import_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from backend.cli import main\n"
        "assert main(['generate', '--help']) == 0\n"
        "assert main(['generate', 'x.png', '-o', 'y.glb', '--device', 'tpu']) == 2\n"
        "assert main(['generate', 'no-such-photo.png', '-o', 'y.glb']) == 2\n"
        "heavy = {'torch', 'mediapipe', 'numba', 'cv2', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "--artifacts" in run.stdout
    assert "\x1b" not in run.stdout + run.stderr


def test_a_prior_is_named_only_with_what_distils_it(tmp_path: Path) -> None:
    def prior(words: str) -> PriorSettings:
        command = parse(["generate", "a.png", "-o", "b.glb", *words.split()])
        assert isinstance(command, Generate)
        return generate_settings(command).prior

    assert prior(f"--guidance ref-sds --prior {tmp_path}").folder == tmp_path
    named = prior(f"--guidance vsd --prior a/b@{'0' * 40}")
    assert (named.folder, named.repo, named.revision) == (None, "a/b", "0" * 40)
    # What was chosen for the prior that ships says nothing about another one.
    assert replace(named, repo=None, revision=None) == PriorSettings()
    assert prior("--guidance sds --server here.json") == preset_settings("standard").prior
    assert prior("--preset draft") == COMPACT_PRIOR
    for words, code in (
        ("--guidance mirror --prior a/b", "option_conflict"),
        ("--guidance sds --prior a/b --server here.json", "option_conflict"),
    ):
        with pytest.raises(HumanRefError) as error:
            prior(words)
        assert error.value.code == code

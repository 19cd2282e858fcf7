"""The whole road from a command line: what is made, what is said, and stopping in the middle."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SHORT = ("--preset", "draft", "--steps", "20", "--faces", "4000", "--device", "cpu")
QUICK = (*SHORT, "--guidance", "mirror")


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_character_and_everything_kept_beside_it(
    portrait: Path, tmp_path: Path, humanref: Callable
) -> None:
    out, kept = tmp_path / "new" / "folder" / "a.glb", tmp_path / "kept"
    words = ("generate", portrait, "-o", out, "--artifacts", kept, *SHORT, "--height-cm", 160)
    ended = humanref(*words)
    assert ended.code == 0, ended.err
    assert "\x1b" not in ended.out + ended.err
    assert str(out) in ended.out
    assert "Ref-SDS with region-aware attention; prior compact" in ended.out
    assert "optimization: 20/20" in ended.err
    names = ["mask.png", "mesh.ply", "overlay.png", "pose.json"]
    names += ["regions.png", "run.json", "turntable.png"]
    assert listing(kept) == names
    assert listing(out.parent) == ["a.glb"]
    assert out.read_bytes()[:4] == b"glTF"

    run = json.loads((kept / "run.json").read_text())
    assert run["guidance"].startswith(
        "Ref-SDS with region-aware attention; prior compact (licence: "
    )
    assert run["settings"]["guidance"] == "ref-sds"
    assert run["losses"]["sds"] > 0
    assert run["settings"]["optimization"]["steps"] == 20
    assert {"segmentation", "landmarks", "fitting", "optimization", "meshing"} <= set(run["stages"])
    # No time goes unaccounted for.
    assert 0 <= run["seconds"] - sum(run["stages"].values()) < 1.0 + 0.1 * run["seconds"]
    assert {"segmentation", "landmarks", "parsing", "caption", "normals"} <= set(run["providers"])
    assert run["losses"]["rgb"] > 0
    assert run["peak_memory_mb"] > 100
    assert run["inputs"]["photo"]["name"] == "portrait.png"
    assert run["warnings"]

    mask, regions = Image.open(kept / "mask.png"), Image.open(kept / "regions.png")
    assert mask.size == regions.size == (512, 512)
    assert set(np.unique(np.asarray(regions))) <= {0, 1, 2, 3, 4}
    assert np.asarray(mask).max() == 255
    # What was written is understood when it is brought back.
    again = humanref(
        *("generate", portrait, "-o", tmp_path / "b.ply", *QUICK, "--json"),
        *("--mask", kept / "mask.png", "--regions", kept / "regions.png"),
        *("--pose", kept / "pose.json"),
    )
    assert again.code == 0, again.err
    result = json.loads(again.out)
    assert Path(result["files"]["character"]) == tmp_path / "b.ply"
    assert set(result["run"]["inputs"]) == {"photo", "mask", "regions", "pose"}
    assert "not Ref-SDS" in result["run"]["guidance"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX signal to a child process")
def test_ctrl_c_keeps_a_checkpoint_that_resume_continues_from(
    portrait: Path, tmp_path: Path, humanref: Callable
) -> None:
    out = tmp_path / "new" / "a.glb"
    words = ["generate", str(portrait), "-o", str(out), *QUICK, "--steps", "80"]
    child = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    watchdog = threading.Timer(240, child.kill)
    watchdog.start()
    assert child.stderr is not None
    said, asked = [], False
    for line in child.stderr:
        said.append(line)
        if re.search(r"optimization: \d+/80", line) and not asked:
            asked = True
            child.send_signal(signal.SIGINT)
    watchdog.cancel()
    text = "".join(said)
    assert child.wait() == 130, text
    checkpoint = out.with_name("a.glb.checkpoint")
    assert listing(out.parent) == [checkpoint.name]
    assert f"{checkpoint}" in said[-1]
    assert "--resume" in said[-1]
    assert "Traceback" not in text

    ended = humanref(*words, "--resume")
    assert ended.code == 0, ended.err
    kept = int(re.search(r"step (\d+) of 80", said[-1])[1])
    resumed = [int(n) for n in re.findall(r"optimization: (\d+)/80", ended.err)]
    assert kept < resumed[0] <= resumed[-1] == 80
    assert listing(out.parent) == ["a.glb"]

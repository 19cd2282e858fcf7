"""MediaPipe is quiet, and loses nobody else's messages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from backend.perception.mediapipe_models import MediapipeModels, quiet_stderr


def test_native_messages_are_silenced_and_ours_come_back(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with quiet_stderr():
        os.write(2, b"native noise ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_stderr_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), quiet_stderr():
        raise RuntimeError
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_models_write_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with MediapipeModels() as models:
        assert models.holistic(np.full((256, 256, 3), 128, np.uint8)) is None
        assert models.hands(np.full((256, 256, 3), 128, np.uint8)) == []
        assert models.selfie(np.full((256, 256, 3), 128, np.uint8)).shape == (256, 256)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_triton_survives_the_graphics_driver_of_mediapipe() -> None:
    """In a process with a screen: Mesa's LLVM took Triton's place, and importing it was a crash."""
    pytest.importorskip("triton")
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from backend.perception.mediapipe_models import MediapipeModels\n"
        "with MediapipeModels() as models:\n"
        "    assert 'triton' not in sys.modules\n"
        "    models.holistic(np.zeros((64, 64, 3), np.uint8))\n"
        "assert 'triton' in sys.modules\n"
        "import torch._dynamo\n"
    )
    with virtual_screen() as display:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=dict(os.environ) | display,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr


@contextmanager
def virtual_screen() -> Iterator[dict[str, str]]:
    """The variables of a process that sees a screen; none where no X server is installed."""
    if shutil.which("Xvfb") is None:
        yield {}
        return
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", "+extension", "GLX"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as number:
            yield {"DISPLAY": f":{number.readline().strip()}"}
    finally:
        server.terminate()
        server.wait()

"""MediaPipe is quiet, and loses nobody else's messages."""

from __future__ import annotations

import os

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

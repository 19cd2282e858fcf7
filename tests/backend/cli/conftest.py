"""What the command-line tests share: a photo of half a person, and a way to run the command."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def humanref(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run the command in this process."""

    def run(*words: object) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8: a woman from head to waist, in the public domain."""
    data = pytest.importorskip("skimage.data")
    return np.asarray(data.astronaut())


@pytest.fixture
def portrait(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """The same as a file, alone in its folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "portrait.png"
    Image.fromarray(astronaut).save(path)
    return path

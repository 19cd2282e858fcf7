"""One real photo, looked at once for all tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from perception_support import Seen

from backend.perception.landmarks import MediapipeLandmarks
from backend.perception.mediapipe_models import MediapipeModels
from backend.perception.photo import load_photo
from backend.perception.segmentation import MediapipeGrabCut

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "photo.png"


@pytest.fixture(scope="session")
def models() -> Iterator[MediapipeModels]:
    with MediapipeModels() as made:
        yield made


@pytest.fixture(scope="session")
def seen(models: MediapipeModels) -> Seen:
    photo = load_photo(EXAMPLE)
    detection = MediapipeLandmarks(models).estimate(photo, None, None)
    mask = MediapipeGrabCut(models).segment(photo, detection, None)
    return Seen(photo, detection, mask)

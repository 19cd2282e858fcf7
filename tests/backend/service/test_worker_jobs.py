"""What a worker remembers between the jobs of one photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.errors import HumanRefError
from backend.service.worker_jobs import PipelineRunner
from backend.service.worker_messages import RunJob
from shared_protocol.messages import Estimate, PoseProposed
from shared_protocol.packing import blob_ref

PHOTO = Path(__file__).parents[3] / "examples" / "photo.png"


def test_a_re_fit_looks_at_nothing_again_and_a_new_estimate_does(tmp_path: Path) -> None:
    runner, photo = PipelineRunner("interactive", None), blob_ref(PHOTO.read_bytes())

    def propose(request: Estimate, file: Path) -> PoseProposed:
        job = RunJob("job", request, {photo.sha256: file}, tmp_path, False)
        content: Any = runner.run(job, lambda _: None, lambda: False).content
        assert isinstance(content, PoseProposed)
        return content

    asked = Estimate(photo=photo, photo_name="me.png")
    first = propose(asked, PHOTO)
    refit = Estimate(
        photo=photo,
        photo_name="me.png",
        initial=first.pose,
        camera=first.camera,
        locked_joints=("head",),
    )
    # Where the photo is gone, only what was seen before can answer.
    gone = tmp_path / "gone.png"
    again = propose(refit, gone)
    assert again.fit.silhouette_iou == pytest.approx(first.fit.silhouette_iou, abs=0.02)

    def misses_the_photo(request: Estimate) -> bool:
        with pytest.raises(HumanRefError) as caught:
            propose(request, gone)
        return caught.value.code == "photo_missing"

    assert misses_the_photo(asked)
    other = Estimate(photo=photo, photo_name="me.png", initial=first.pose, person=0)
    assert misses_the_photo(other)
    runner.let_go()
    assert misses_the_photo(refit)

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from backend.events import Preview, StageFinished, StageStarted, Step, Warned
from backend.process_memory import peak_memory_mb
from backend.run_report import InputFile, RunRecorder
from backend.settings import preset_settings


class Clock:
    """A clock the test moves by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_recorder_keeps_what_it_sees_and_passes_it_on(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"not really a picture")
    seen: list[object] = []
    clock = Clock()
    recorder = RunRecorder(seen.append, clock)
    events = [
        StageStarted("fitting", "smplify: ships with us"),
        StageStarted("fitting"),
        StageFinished("fitting", 1.25),
        StageFinished("fitting", 1.5),
        StageFinished("fitting", 0.5),
        Warned("cropped", "The feet are outside the photo."),
        Warned("cropped", "The feet are outside the photo."),
        Step("fitting", 13, 13, 0.0, {"cost": 7.0}),
        *(Step("optimization", k, 800, 1.0, {"rgb": float(k)}) for k in range(1, 801)),
    ]
    for event in events:
        recorder(event)
    recorder.add_input("photo", photo)
    recorder.add_input("mask", None)
    clock.now += 42.0
    settings = replace(preset_settings("draft"), seed=7)
    report = recorder.report(settings, "mirror baseline: not Ref-SDS", "cpu")

    assert seen == events
    assert report.seconds == 42.0
    assert report.stages == {"fitting": 2.0}
    assert report.providers == {"fitting": "smplify: ships with us"}
    assert report.warnings == ("The feet are outside the photo.",)
    assert report.losses == {"rgb": 800.0}
    assert {stage: len(steps) for stage, steps in report.loss_history.items()} == {
        "fitting": 1,
        "optimization": 100,
    }
    assert report.loss_history["optimization"][-1] == {"step": 800, "rgb": 800.0}
    assert report.seed == 7
    assert set(report.inputs) == {"photo"}
    assert report.inputs["photo"].sha256 == hashlib.sha256(photo.read_bytes()).hexdigest()


def test_first_preview_counts_from_the_end_of_the_body_fit() -> None:
    clock = Clock()
    recorder = RunRecorder(clock=clock)
    empty = np.zeros((0, 3), np.float32)
    recorder(StageStarted("fitting"))
    clock.now += 4.0
    recorder(StageFinished("fitting", 4.0))
    settings = preset_settings("draft")
    assert recorder.report(settings, "none", "cpu").first_preview_seconds is None
    for step in (10, 20):
        clock.now += 2.5
        recorder(Preview(step, empty, empty.astype(np.int32), empty))
    assert recorder.report(settings, "none", "cpu").first_preview_seconds == 2.5


def test_json_is_strict_and_names_no_folder(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"x")
    recorder = RunRecorder()
    recorder.add_input("photo", photo)
    recorder(Step("optimization", 1, 1, 0.0, {"rgb": float("nan"), "iou": float(np.float32(0.5))}))
    report = recorder.report(
        preset_settings("standard"),
        "none",
        "cpu",
        results={"height": np.float32(1.75), "faces": np.int64(60_000), "at": photo},
    )
    text = json.dumps(report.to_json(), allow_nan=False)
    content = json.loads(text)
    assert str(tmp_path) not in text
    assert content["losses"] == {"rgb": None, "iou": 0.5}
    assert content["results"]["faces"] == 60_000
    assert content["settings"]["optimization"]["steps"] == 800
    assert content["versions"]["torch"]


def test_digest_matches_hashlib_on_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "long.bin"
    path.write_bytes(bytes(range(256)) * 9000)
    assert InputFile.of(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert InputFile.of(path).size == 256 * 9000


def test_peak_memory_grows_by_what_is_touched() -> None:
    before = peak_memory_mb()
    block = np.ones(2**25, np.float64)
    # Resident pages: 256 MiB are touched, so the peak cannot be below them.
    assert peak_memory_mb() >= before
    assert peak_memory_mb() > block.nbytes / 2**20

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from backend.cli import app
from backend.cli.arguments import Command
from backend.cli.interrupts import GentleInterrupts
from backend.cli.progress import LiveProgress, PlainProgress, duration
from backend.errors import Cancelled, HumanRefError
from backend.events import Event, StageFinished, StageStarted, Step, Warned, ignore_events

LINE = ["generate", "photo.png", "-o", "a.glb"]


def ending(error: BaseException) -> Callable[[Command], dict[str, Any]]:
    def run(command: Command) -> dict[str, Any]:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (HumanRefError("no_person", "No person.", "Take another photo."), 2, "Take another photo"),
        (Cancelled("Stopped.", "Use --resume."), 130, "--resume"),
        (KeyboardInterrupt(), 130, "Stopped"),
        (OSError(errno.ENOSPC, "full", "b.glb"), 2, "disk is full"),
        (MemoryError(), 2, "--preset draft"),
        (ZeroDivisionError("seven by nought"), 1, "seven by nought"),
    ],
)
def test_every_end_has_a_code_and_one_sentence(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> None:
    monkeypatch.setattr(app, "run_command", ending(error))
    monkeypatch.setattr(app.tempfile, "gettempdir", lambda: str(tmp_path))
    assert app.main(LINE) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    logs = list(tmp_path.iterdir())
    assert len(logs) == (1 if code == 1 else 0)
    for log in logs:
        assert str(log) in err
        assert "ZeroDivisionError: seven by nought" in log.read_text()
        assert "Traceback" in log.read_text()


def test_json_errors_are_one_object_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "run_command", ending(HumanRefError("no_person", "None.", "Try.")))
    assert app.main([*LINE, "--json"]) == 2
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] is False
    assert content["error"]["code"] == "no_person"
    monkeypatch.setattr(app, "run_command", lambda command: {"files": {"character": "a.glb"}})
    assert app.main([*LINE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "files": {"character": "a.glb"}}


def test_numbers_that_are_not_finite_become_null(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = {"error": float("nan"), "losses": (np.float32("inf"), 0.5)}
    monkeypatch.setattr(app, "run_command", lambda command: {"fit": fit})
    assert app.main([*LINE, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["fit"] == {"error": None, "losses": [None, 0.5]}


_CHILD = """
import sys
from backend.cli import app
from backend.errors import HumanRefError
def run(command):
    if sys.argv[1] == "error":
        raise HumanRefError("no_person", "No person.", "Take another photo.")
    return {"files": {}}
app.run_command = run
sys.exit(app.main(["generate", "photo.png", "-o", "a.glb", "--json"]))
"""


def say_into(stdout: int, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _CHILD, how]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120)


@pytest.mark.parametrize(("how", "code", "said"), [("done", 0, ""), ("error", 2, "No person.")])
def test_a_reader_that_has_gone_changes_nothing(how: str, code: int, said: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = say_into(writer, how)
    finally:
        os.close(writer)
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_result_that_cannot_be_printed_is_said_in_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        ended = say_into(full.fileno(), "done")
    assert ended.returncode == 2
    assert "disk is full" in ended.stderr
    assert ended.stderr.count("\n") == 1


EVENTS: list[Event] = [
    StageStarted("optimization", "numba [cpu]"),
    *(Step("optimization", k, 100, 100.0 - k, {"rgb": 0.5}) for k in range(1, 101)),
    Warned("cropped", "The feet [both] are outside the photo."),
    StageFinished("optimization", 75.4),
]


def test_plain_progress_is_short_ascii_lines() -> None:
    console = Console(file=io.StringIO(), width=40)
    times = iter([0.0, *(0.5 * k for k in range(len(EVENTS)))])
    with PlainProgress(console, clock=lambda: next(times)) as progress:
        for event in EVENTS:
            progress(event)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.isascii()
    assert "\x1b" not in text
    assert all(re.match(r"\[ *[\d.]+ s\] ", line) for line in text.splitlines())
    # 100 steps in 50 s, a line every 5 s, and always the last.
    assert 10 <= text.count("/100") <= 12
    assert "optimization: 100/100, rgb 0.5" in text
    assert "1 min 15 s" in text
    assert "[both]" in text


def test_live_progress_shows_bars_time_left_and_brackets_unharmed() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=110)
    with LiveProgress(console) as progress:
        for event in EVENTS[:50]:
            progress(event)
        progress._progress.refresh()
        for event in EVENTS[50:]:
            progress(event)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "49/100  51 s left  rgb 0.5" in shown
    assert "numba [cpu]" in shown
    assert "The feet [both] are outside the photo." in shown
    assert "1 min 15 s" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (3599.0, "59 min 59 s")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert duration(7800) == "2 h 10 min"


def test_ctrl_c_waits_for_the_end_of_a_step_only_while_fitting() -> None:
    before = signal.getsignal(signal.SIGINT)
    with GentleInterrupts(ignore_events) as observer:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        observer(Step("optimization", 1, 10, 9.0))
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            observer(Step("optimization", 2, 10, 8.0))
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        observer(StageFinished("optimization", 1.0))
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before

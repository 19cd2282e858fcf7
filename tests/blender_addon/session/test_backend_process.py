import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from humanref_addon.session.backend_process import BackendProcess, clean_environment
from humanref_addon.session.problem import ProblemError

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
DEAF = [
    *(sys.executable, "-c"),
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(60)",
]


def until(true: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[BackendProcess]:
    made = BackendProcess(tmp_path / "logs" / "backend.log")
    yield made
    made.stop(0.1)


def test_it_runs_and_stops_on_request(process: BackendProcess) -> None:
    assert (process.running(), process.pid, process.exit_code()) == (False, None, None)
    process.start(SLEEP)
    pid = process.pid
    process.start(SLEEP)
    assert process.pid == pid
    process.request_stop()
    until(lambda: not process.running())
    assert process.exit_code() is not None


def test_one_that_does_not_listen_is_killed(process: BackendProcess) -> None:
    process.start(DEAF)
    until(lambda: "up" in process.log_tail())
    process.request_stop()
    process.kill_if_stuck(after=60)
    assert process.running()
    process.kill_if_stuck(after=0)
    until(lambda: not process.running())


def test_its_last_words_are_kept_and_masked(process: BackendProcess) -> None:
    process.start([sys.executable, "-c", f"import sys; print({str(Path.home())!r}); sys.exit(3)"])
    until(lambda: process.exit_code() == 3)
    assert process.log_tail(1) == "~"


def test_a_command_that_cannot_run_is_a_problem(process: BackendProcess, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        process.start([str(tmp_path / "nothing")])
    assert caught.value.problem.code == "backend_not_started"


def test_a_released_one_goes_on(process: BackendProcess) -> None:
    process.start(SLEEP)
    pid = process.pid
    process.release()
    try:
        assert not process.running()
        os.kill(pid, 0)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_blenders_python_stays_out(process: BackendProcess) -> None:
    given = {"PYTHONHOME": "/blender", "PYTHONPATH": "/blender", "PATH": "/bin", "HOME": "/h"}
    assert clean_environment(given) == {"PATH": "/bin", "HOME": "/h"}


def test_a_long_log_starts_anew(process: BackendProcess, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "backend.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (2 << 20))
    process.start([sys.executable, "-c", "print('fresh')"])
    until(lambda: "fresh" in process.log_tail())
    assert log.stat().st_size < 1000
    assert log.with_suffix(".old.log").exists()

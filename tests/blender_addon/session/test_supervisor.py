import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from humanref_addon.session.backend_process import BackendProcess
from humanref_addon.session.options import BackendOptions
from humanref_addon.session.supervisor import Supervisor
from humanref_addon.shared_protocol.connection import Connection, write_connection
from humanref_addon.shared_protocol.version import PROTOCOL


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def supervisor(folder: Path, clock: Clock | None = None) -> Supervisor:
    return Supervisor(BackendProcess(folder / "log"), folder / "left.json", clock or Clock())


def backend(folder: Path, pid: int) -> BackendOptions:
    """A connection file as a backend with this process id leaves it."""
    path = folder / "backend.json"
    line = "tcp://127.0.0.1"
    connection = Connection(
        protocol=PROTOCOL, control=f"{line}:5000", data=f"{line}:5001", token="t", pid=pid
    )
    write_connection(path, connection)
    return BackendOptions(connection_file=path)


def humanref(folder: Path, code: str) -> BackendOptions:
    """A humanref command made of Python code, on whose argv the connection file comes third."""
    script = folder / "humanref"
    script.write_text(f"#!{sys.executable}\nimport sys, time\n{code}\n")
    script.chmod(0o755)
    return BackendOptions(connection_file=folder / "backend.json", command=str(script))


def test_it_attaches_to_a_living_backend_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    keeper = supervisor(tmp_path, clock)
    nobody = BackendOptions(connection_file=tmp_path / "backend.json")
    assert not keeper.time_to_attach(lambda: nobody)
    options = backend(tmp_path, os.getpid())
    assert not keeper.time_to_attach(lambda: options)
    clock.now = 1.1
    assert keeper.time_to_attach(lambda: options)
    for other in (
        BackendOptions(connection_file=options.file, attach=False),
        BackendOptions(connection_file=options.file, remote=True),
    ):
        clock.now += 2
        assert not keeper.time_to_attach(lambda other=other: other)
    keeper.paused = True
    clock.now += 2
    assert not keeper.time_to_attach(lambda: options)


def test_a_dead_backends_file_is_no_backend(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert not supervisor(tmp_path).alive_elsewhere(backend(tmp_path, ended.pid))


def test_a_start_that_fails_says_the_last_words(tmp_path: Path) -> None:
    keeper = supervisor(tmp_path)
    keeper.start(humanref(tmp_path, "print('no room'); sys.exit(2)"))
    end = time.monotonic() + 10
    while (problem := keeper.failure()) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert problem.code == "backend_ended"
    assert "exit code 2" in problem.message
    assert "no room" in problem.hint
    assert keeper.failure() is None


def test_a_start_that_never_answers_is_said(tmp_path: Path) -> None:
    clock = Clock()
    keeper = supervisor(tmp_path, clock)
    keeper.start(humanref(tmp_path, "time.sleep(60)"))
    try:
        assert keeper.failure() is None
        clock.now = 1000.0
        assert keeper.failure().code == "backend_silent"
    finally:
        keeper.process.stop(0.1)


def test_the_command_gets_the_connection_file(tmp_path: Path) -> None:
    keeper = supervisor(tmp_path)
    options = humanref(tmp_path, "print(sys.argv[1:4])")
    keeper.start(options)
    end = time.monotonic() + 10
    while keeper.process.running():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert str(["serve", "--connection-file", str(options.file)]) in keeper.process.log_tail()


def test_with_jobs_it_is_left_running_and_the_next_blender_may_stop_it(tmp_path: Path) -> None:
    first = supervisor(tmp_path)
    first.start(humanref(tmp_path, "time.sleep(60)"))
    pid = first.process.pid
    options = backend(tmp_path, pid)
    first.leave(options, busy=True)
    os.kill(pid, 0)
    assert json.loads((tmp_path / "left.json").read_text())["pid"] == pid
    second = supervisor(tmp_path)
    assert second.owns(options)
    assert not second.owns(backend(tmp_path, os.getpid()))
    second.request_stop(backend(tmp_path, pid))
    assert os.waitpid(pid, 0)[0] == pid


@pytest.mark.parametrize("busy", [False, True])
def test_a_backend_of_somebody_else_is_left_alone(tmp_path: Path, busy: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        keeper = supervisor(tmp_path)
        options = backend(tmp_path, other.pid)
        assert not keeper.owns(options)
        keeper.request_stop(options)
        keeper.leave(options, busy=busy)
        assert other.poll() is None
        other.kill()


def test_without_jobs_it_is_stopped(tmp_path: Path) -> None:
    keeper = supervisor(tmp_path)
    keeper.start(humanref(tmp_path, "time.sleep(60)"))
    keeper.leave(backend(tmp_path, keeper.process.pid), busy=False)
    assert not keeper.process.running()
    assert not (tmp_path / "left.json").exists()

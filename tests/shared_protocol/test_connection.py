"""The connection file: only its user may read it, and a bad one is refused in words."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from shared_protocol import connection as module
from shared_protocol.connection import (
    Connection,
    default_connection_path,
    is_alive,
    read_connection,
    write_connection,
)
from shared_protocol.errors import ProtocolError

_HERE = Connection(
    protocol="1.0",
    control="tcp://127.0.0.1:5001",
    data="tcp://127.0.0.1:5002",
    token="f" * 64,
    pid=os.getpid(),
    version="0.1.0",
)
_THERE = Connection(
    protocol="1.3",
    control="tcp://[fd00::1]:5001",
    data="tcp://render-7.example.org:5002",
    server_key="rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
)
_POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX file modes")


@pytest.mark.parametrize("connection", [_HERE, _THERE])
def test_a_connection_is_read_as_it_was_written(tmp_path: Path, connection: Connection) -> None:
    path = tmp_path / "run" / "backend.json"
    write_connection(path, connection)
    assert read_connection(path) == connection
    write_connection(path, attrs.evolve(connection, version="0.2.0"))
    assert read_connection(path).version == "0.2.0"
    assert [entry.name for entry in path.parent.iterdir()] == ["backend.json"]


@_POSIX
def test_nobody_else_may_open_the_file_from_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def replace(source: Path, target: Path) -> None:
        modes.append(stat.S_IMODE(os.stat(source).st_mode))
        os.rename(source, target)

    monkeypatch.setattr(module.os, "replace", replace)
    umask = os.umask(0)
    try:
        path = tmp_path / "run" / "backend.json"
        write_connection(path, _HERE)
    finally:
        os.umask(umask)
    assert modes == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@_POSIX
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "backend.json"
    write_connection(path, _HERE)
    path.chmod(mode)
    with pytest.raises(ProtocolError, match="chmod 600") as refused:
        read_connection(path)
    assert refused.value.code == "not_allowed"
    assert _HERE.token not in str(refused.value)
    # A file for another machine holds no secret.
    write_connection(path, _THERE)
    path.chmod(mode)
    assert read_connection(path) == _THERE


def test_a_missing_file_means_no_backend(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_connection(tmp_path / "none.json")
    assert refused.value.code == "no_backend"
    assert refused.value.retryable
    with pytest.raises(ProtocolError) as refused:
        read_connection(tmp_path)
    assert refused.value.code == "not_allowed"


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"protocol": "2.0"}, "protocol_mismatch", "speaks protocol '2.0', this side 1."),
        ({"protocol": "one"}, "protocol_mismatch", "'one'"),
        ({"control": "ipc:///run/x"}, "malformed", "control is no tcp://host:port"),
        ({"data": "tcp://host:0"}, "malformed", "data is no tcp://host:port"),
        ({"data": "tcp://host:65536"}, "malformed", "data is no tcp://host:port"),
        ({"control": "tcp://host:5;tcp://evil:6"}, "malformed", "control is no tcp"),
        ({"control": 5}, "malformed", "control should be text, not a number"),
        ({"server_key": "short"}, "malformed", "server_key is no CURVE key"),
        ({"pid": -1}, "malformed", "pid or token"),
        ({"pid": True}, "malformed", "pid should be a whole number"),
        ({"token": "x" * 257}, "malformed", "pid or token"),
    ],
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, change: dict[str, Any], code: str, sentence: str
) -> None:
    path = tmp_path / "backend.json"
    path.touch(0o600)
    path.write_text(json.dumps({**attrs.asdict(_HERE), **change}))
    with pytest.raises(ProtocolError, match=sentence) as refused:
        read_connection(path)
    assert refused.value.code == code
    if not isinstance(change.get("control", ""), int) and "pid" not in change:
        with pytest.raises(ProtocolError):
            write_connection(tmp_path / "other.json", attrs.evolve(_HERE, **change))
        assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"[]", b"null", b"{}", b"[" * 5000, b'{"pid": 1e999}', b" " * 20_000],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "backend.json"
    path.write_bytes(data)
    with pytest.raises(ProtocolError) as refused:
        read_connection(path)
    assert refused.value.code == "malformed"


def test_a_file_of_a_newer_backend_is_read(tmp_path: Path) -> None:
    path = tmp_path / "backend.json"
    path.touch(0o600)
    path.write_text(json.dumps({**attrs.asdict(_HERE), "protocol": "1.9", "gpu": ["x"]}))
    assert read_connection(path) == attrs.evolve(_HERE, protocol="1.9")


@_POSIX
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "backend.json"
    write_connection(path, _HERE)

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    with pytest.raises(ProtocolError, match="No space left") as refused:
        write_connection(path, _THERE)
    assert refused.value.code == "disk_full"
    assert read_connection(path) == _HERE
    assert len(list(tmp_path.iterdir())) == 1


def test_a_token_is_not_shown() -> None:
    assert _HERE.token not in repr(_HERE)
    assert "127.0.0.1:5001" in repr(_HERE)


def test_a_process_that_ended_is_not_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert is_alive(_HERE)
    assert is_alive(_THERE)
    assert not is_alive(attrs.evolve(_HERE, pid=process.pid))
    assert not is_alive(attrs.evolve(_HERE, pid=2**62))


def test_each_system_has_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_connection_path() == tmp_path / "humanref" / "backend.json"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    monkeypatch.setattr(module.Path, "home", lambda: tmp_path)
    monkeypatch.setattr(module.sys, "platform", "linux")
    assert default_connection_path() == tmp_path / ".cache/humanref/runtime/backend.json"
    monkeypatch.setattr(module.sys, "platform", "darwin")
    wanted = tmp_path / "Library/Application Support/humanref/runtime/backend.json"
    assert default_connection_path() == wanted

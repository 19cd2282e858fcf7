from pathlib import Path

import pytest
from humanref_addon.session.options import BackendOptions, is_loopback
from humanref_addon.session.problem import ProblemError
from humanref_addon.shared_protocol.connection import Connection, write_connection
from humanref_addon.shared_protocol.version import PROTOCOL


def file(folder: Path, host: str) -> Path:
    path = folder / "backend.json"
    connection = Connection(
        protocol=PROTOCOL, control=f"tcp://{host}:5000", data=f"tcp://{host}:5001", token="t"
    )
    write_connection(path, connection)
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.0.1.1"])
def test_this_computer_needs_no_leave(tmp_path: Path, host: str) -> None:
    options = BackendOptions(connection_file=file(tmp_path, host), online_access=False)
    assert options.connection().control == f"tcp://{host}:5000"


@pytest.mark.parametrize("host", ["192.168.0.7", "example.org", "127.0.0.1.example.org"])
def test_another_computer_needs_blenders_leave(tmp_path: Path, host: str) -> None:
    path = file(tmp_path, host)
    with pytest.raises(ProblemError) as caught:
        BackendOptions(connection_file=path).connection()
    assert caught.value.problem.code == "offline"
    assert BackendOptions(connection_file=path, online_access=True).connection().token == "t"


def test_a_data_socket_elsewhere_counts_as_elsewhere() -> None:
    assert not is_loopback("tcp://10.0.0.1:1")


def test_wrong_files_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        BackendOptions(remote=True).connection()
    assert caught.value.problem.code == "no_connection_file"
    with pytest.raises(ProblemError) as caught:
        BackendOptions(connection_file=tmp_path / "none.json").connection()
    assert caught.value.problem.code == "no_backend"
    with pytest.raises(ProblemError) as caught:
        BackendOptions(key_file=tmp_path / "none.key_secret").keys()
    assert caught.value.problem.code == "not_allowed"
    assert BackendOptions().keys() is None

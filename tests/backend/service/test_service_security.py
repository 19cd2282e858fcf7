"""Who may connect: keys, allow-list, refusal of open doors, and what an eavesdropper sees."""

from __future__ import annotations

import dataclasses
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest
import zmq
import zmq.auth
from service_harness import RawClient, RunningServer, greeted, options, running

from backend.errors import HumanRefError
from backend.service.keys import allow_client, allowed_clients, make_pair, revoke_client
from backend.service.security import Guard, parse_bind
from shared_protocol.errors import ProtocolError
from shared_protocol.messages import JobList, ListJobs, Ping, Pong, Result

PHOTO = np.random.default_rng(3).bytes(300_000)


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("tcp://127.0.0.1", "127.0.0.1", None, True),
        ("tcp://localhost:7700", "127.0.0.1", 7700, True),
        ("tcp://127.8.9.10", "127.8.9.10", None, True),
        ("tcp://[::1]", "::1", None, True),
        ("tcp://0.0.0.0:7700", "0.0.0.0", 7700, False),
        ("tcp://*", "0.0.0.0", None, False),
        ("tcp://[::]:7700", "::", 7700, False),
        ("tcp://192.168.1.5", "192.168.1.5", None, False),
    ],
)
def test_bind_is_read(text: str, host: str, port: int | None, loopback: bool) -> None:
    bind = parse_bind(text)
    assert (bind.host, bind.port, bind.is_loopback) == (host, port, loopback)


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0.1", "ipc:///x", "tcp://", "tcp://example.org", "tcp://1.2.3.4:0", "tcp://1.2.3.4:x",
     "tcp://1.2.3.4:65535", "tcp://127.0.0.1/path", "tcp://user@127.0.0.1"],
)  # fmt: skip
def test_bind_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HumanRefError) as refused:
        parse_bind(text)
    assert refused.value.code == "bind_unusable"


@pytest.mark.parametrize("bind", ["tcp://0.0.0.0", "tcp://[::]", "tcp://192.168.1.5:7700"])
def test_open_door_without_keys_is_refused(tmp_path: Path, bind: str) -> None:
    chosen = options(tmp_path, bind=bind)
    with pytest.raises(HumanRefError) as refused, running(chosen):
        pass
    assert refused.value.code == "keys_missing"
    assert "humanref keys" in refused.value.hint
    make_pair(chosen.keys, "server")
    with pytest.raises(HumanRefError) as refused:
        Guard.of(chosen, parse_bind(bind))
    assert refused.value.code == "clients_missing"


def test_keys_are_private_and_never_replaced(tmp_path: Path) -> None:
    public, secret = make_pair(tmp_path / "keys", "anna")
    for path in (public, secret):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in sorted((tmp_path / "keys").iterdir())] == [
        "anna.key",
        "anna.key_secret",
    ]
    before = secret.read_bytes()
    with pytest.raises(HumanRefError) as refused:
        make_pair(tmp_path / "keys", "anna")
    assert refused.value.code == "output_exists"
    assert secret.read_bytes() == before


def test_a_folder_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_pair(tmp_path, "anna")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_only_the_public_half_is_kept_of_a_client(tmp_path: Path) -> None:
    _, secret_file = make_pair(tmp_path / "client", "anna")
    public, secret = zmq.auth.load_certificate(secret_file)
    assert secret is not None
    kept = allow_client(tmp_path / "keys", secret_file)
    assert secret.decode() not in kept.read_text()
    assert allowed_clients(tmp_path / "keys") == {public.decode(): "anna"}
    revoke_client(tmp_path / "keys", "anna")
    assert allowed_clients(tmp_path / "keys") == {}
    with pytest.raises(HumanRefError) as refused:
        revoke_client(tmp_path / "keys", "anna")
    assert refused.value.code == "key_unknown"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\\b", ".hidden", "x" * 70, "a\nb"])
def test_names_of_keys_are_no_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(HumanRefError) as refused:
        make_pair(tmp_path, name)
    assert refused.value.code == "key_name"
    with pytest.raises(HumanRefError):
        revoke_client(tmp_path, name)


@dataclasses.dataclass
class Curved:
    """A server under CURVE and its clients' keys."""

    server: RunningServer
    keys: dict[str, tuple[bytes, bytes]]


@pytest.fixture(scope="module")
def curved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Curved]:
    """Anna and Ben are allowed, Eve is not."""
    folder = tmp_path_factory.mktemp("curve")
    chosen = options(folder, curve=True)
    make_pair(chosen.keys, "server")
    keys = {}
    for name in ("anna", "ben", "eve"):
        public, secret_file = make_pair(folder / "clients", name)
        pair = zmq.auth.load_certificate(secret_file)
        assert pair[1] is not None
        keys[name] = (pair[0], pair[1])
        if name != "eve":
            allow_client(chosen.keys, public)
    with running(chosen) as server:
        yield Curved(server, keys)


def test_allowed_key_comes_in_without_a_token(curved: Curved) -> None:
    assert curved.server.connection.token == ""
    assert len(curved.server.connection.server_key) == 40
    with greeted(curved.server.connection, keys=curved.keys["anna"]) as anna:
        anna.push(Result, anna.submit("steps=1"))


@pytest.mark.parametrize("who", ["eve", "a stranger", "nobody", "wrong server"])
def test_others_are_not_heard(curved: Curved, who: str) -> None:
    connection = curved.server.connection
    keys: tuple[bytes, bytes] | None = curved.keys["eve"]
    if who == "a stranger":
        keys = zmq.curve_keypair()
    elif who == "nobody":
        keys = None
    elif who == "wrong server":
        keys = curved.keys["anna"]
        connection = attrs.evolve(connection, server_key=zmq.curve_keypair()[0].decode())
    with RawClient(connection, keys=keys) as client:
        client.send(Ping())
        assert client.receive(seconds=0.4) is None
    with greeted(curved.server.connection, keys=curved.keys["anna"]) as anna:
        anna.ask(Ping(), Pong)


def test_owners_do_not_see_each_other(curved: Curved) -> None:
    with (
        greeted(curved.server.connection, keys=curved.keys["anna"]) as anna,
        greeted(curved.server.connection, keys=curved.keys["ben"]) as ben,
    ):
        job = anna.submit("steps=1")
        result = anna.push(Result, job).content
        with pytest.raises(ProtocolError) as refused:
            ben.status(job)
        assert refused.value.code == "job_unknown"
        assert ben.cancel(job) == "unknown"
        assert job not in [line.job_id for line in ben.ask(ListJobs(), JobList).jobs]
        with pytest.raises(ProtocolError) as refused:
            ben.fetch(result.character)
        assert refused.value.code == "blob_missing"
        # The same id is free for another owner, and Anna's session is no use to Ben.
        ben.push(Result, ben.submit("steps=2", job_id=job))
        assert anna.status(job).result == result
        ben.session = anna.session
        with pytest.raises(ProtocolError) as refused:
            ben.ask(ListJobs(), JobList)
        assert refused.value.code == "no_session"


def test_revoked_key_is_out_at_once(curved: Curved) -> None:
    folder = curved.server.options.keys
    with greeted(curved.server.connection, keys=curved.keys["ben"]) as ben:
        revoke_client(folder, "ben")
        with pytest.raises(ProtocolError) as refused:
            ben.ask(Ping(), Pong)
        assert refused.value.code == "not_allowed"
    allow_client(folder, folder.parents[1] / "clients" / "ben.key")
    with greeted(curved.server.connection, keys=curved.keys["ben"]) as ben:
        ben.ask(Ping(), Pong)


def test_eavesdropper_sees_no_photo(curved: Curved, tmp_path: Path) -> None:
    """Every byte between client and server passes a proxy: with CURVE the photo is not among them."""
    plain = _overhear(curved.server, curved.keys["anna"])
    assert len(plain) > len(PHOTO)
    assert PHOTO[1000:1032] not in plain
    assert b"me.png" not in plain
    with running(options(tmp_path)) as open_server:
        heard = _overhear(open_server, None)
    # The same proxy does see it where nothing is encrypted: the test can fail.
    assert PHOTO[1000:1032] in heard


def _overhear(server: RunningServer, keys: tuple[bytes, bytes] | None) -> bytes:
    with _Tap(server.connection.control) as control, _Tap(server.connection.data) as data:
        tapped = attrs.evolve(server.connection, control=control.address, data=data.address)
        with greeted(tapped, keys=keys) as client:
            client.put(PHOTO)
            client.push(Result, client.submit("steps=1"))
        return control.heard + data.heard


class _Tap:
    """A TCP relay that remembers what passes."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        self.heard = b""
        self._lock = threading.Lock()

    def __enter__(self) -> _Tap:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        try:
            near, _ = self._socket.accept()
        except OSError:
            return
        far = socket.create_connection(self._target)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    self.heard += data
                sink.sendall(data)
        except OSError:
            pass
        sink.close()

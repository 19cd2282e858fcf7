"""The connection file of a backend that was killed: its token is not for whoever has the port now."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from attrs import evolve
from client_harness import Owner
from fake_backend import FakeBackend

from shared_protocol.client.events import Connected, Disconnected
from shared_protocol.connection import read_connection, write_connection

Connect = Callable[..., Owner]


def test_token_does_not_go_to_whoever_has_the_port_now(
    connection_file: Path, connect: Connect
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with FakeBackend(connection_file) as stranger:
        there = read_connection(connection_file)
        write_connection(connection_file, evolve(there, pid=ended.pid))
        owner = connect(connection_file)
        lost = owner.until(Disconnected)
        assert lost.error.code == "no_backend"
        # It is tried again, and still nothing is said.
        end = time.monotonic() + 5
        while len(owner.of(Disconnected)) < 3:
            assert time.monotonic() < end
            owner.client.wait(0.1)
        assert (stranger.hellos, stranger.received) == (0, [])
        write_connection(connection_file, there)
        owner.until(Connected)
        assert stranger.hellos > 0

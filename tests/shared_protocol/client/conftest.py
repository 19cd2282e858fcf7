"""Clients that are closed when a test is over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from client_harness import FAST, Owner

from shared_protocol.client.client import BackendClient


@pytest.fixture
def connection_file(tmp_path: Path) -> Path:
    """Where the backend of this test announces itself."""
    return tmp_path / "run" / "backend.json"


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., Owner]]:
    """Makes clients that are closed, and whose threads have ended, when the test is over."""
    clients: list[BackendClient] = []

    def make(connection: Any, **options: Any) -> Owner:
        options.setdefault("timing", FAST)
        options.setdefault("cache_dir", tmp_path / "cache")
        client = BackendClient(connection, client="test", client_version="1", **options).start()
        clients.append(client)
        return Owner(client, [])

    yield make
    assert [client for client in clients if not client.close()] == []
    assert not [each for each in threading.enumerate() if each.name == "humanref-client"]

"""One quick server for the tests that do no harm to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service_harness import RawClient, RunningServer, greeted, options, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with workers that only count."""
    with running(options(tmp_path_factory.mktemp("server"))) as made:
        yield made


@pytest.fixture
def client(server: RunningServer) -> Iterator[RawClient]:
    """A client that has shaken hands with it."""
    with greeted(server.connection) as made:
        yield made

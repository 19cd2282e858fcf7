"""``humanref serve`` from beginning to end: folder, lock, log, loop, connection file, signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from backend.errors import HumanRefError
from backend.service.folders import DataFolder, FolderLock
from backend.service.logs import ServiceLog
from backend.service.options import ServeOptions
from backend.service.server import Server
from backend.service.worker import MakeRunner
from shared_protocol.connection import Connection, write_connection
from shared_protocol.errors import ProtocolError

Announce = Callable[[Connection], None]


def serve(
    options: ServeOptions, make_runner: MakeRunner, announce: Announce = lambda connection: None
) -> None:
    """Serve until SIGTERM, Ctrl-C or an idle exit; call it on the main thread.

    Args:
        make_runner: what the worker processes do; a function of an importable module.
        announce: called once when clients can connect.

    Raises:
        HumanRefError: ``already_running``, ``bind_failed``, ``keys_missing``, ``store_unreadable`` and
            others that keep a server from starting.
    """
    folder = DataFolder(options.data_dir)
    folder.create()
    with FolderLock(folder):
        log = ServiceLog(folder.logs)
        try:
            server = Server(options, make_runner, log)
            with _stopped_by_signals(server):
                log.event("started", pid=os.getpid())
                connection = server.connection(os.getpid())

                def ready() -> None:
                    _write(options, connection)
                    announce(connection)

                try:
                    server.run(ready)
                finally:
                    _remove(options, connection)
            log.event("stopped")
        finally:
            log.close()


def _write(options: ServeOptions, connection: Connection) -> None:
    try:
        write_connection(options.connection_file, connection)
    except ProtocolError as error:
        raise HumanRefError(error.code, error.message, error.hint) from error


def _remove(options: ServeOptions, connection: Connection) -> None:
    """Take the connection file away, unless another server has put its own there."""
    path = options.connection_file
    with suppress(OSError, UnicodeDecodeError):
        if connection.control in path.read_text(encoding="utf-8"):
            path.unlink()


@contextmanager
def _stopped_by_signals(server: Server) -> Iterator[None]:
    """SIGTERM, Ctrl-C and a closed terminal stop gently; a second Ctrl-C ends the process at once."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True
        server.stop()

    names = [signal.SIGINT, signal.SIGTERM]
    # Under nohup the end of the terminal is none of our business.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        names.append(signal.SIGHUP)
    # On Windows: Ctrl-Break, and what other programs send to stop one that has a console.
    if hasattr(signal, "SIGBREAK"):
        names.append(signal.SIGBREAK)
    before = {name: signal.signal(name, handle) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)

"""The connection file: where a backend listens and what proves that one may talk to it."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import asdict, frozen

from .checks import check_version
from .content import from_tree
from .errors import DISK_FULL, MALFORMED, NO_BACKEND, NOT_ALLOWED, ProtocolError

FILE_NAME: Final = "backend.json"

_FILE_BYTES: Final = 16_384
_ENDPOINT: Final = re.compile(r"tcp://(\[[0-9A-Fa-f:.%]+\]|[0-9A-Za-z._-]+):([0-9]{1,5})")
_Z85_KEY: Final = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@frozen(kw_only=True)
class Connection:
    """What a client needs to know. On another machine: a copy with ``server_key`` and no token."""

    protocol: str
    """``major.minor`` of the backend."""
    control: str
    """``tcp://host:port``."""
    data: str
    """``tcp://host:port``."""
    server_key: str = ""
    """CURVE public key in Z85 (40 characters), empty where the line is loopback without CURVE."""
    token: str = ""
    """For ``hello``; a secret of this user. Empty under CURVE."""
    pid: int = 0
    """Of the backend; 0 where the file was made for another machine."""
    version: str = ""
    """Of the backend's code."""

    def __repr__(self) -> str:
        """Without the token: connections end up in logs."""
        return f"Connection({self.control}, {self.data}, pid={self.pid}, curve={bool(self.server_key)})"


def default_connection_path() -> Path:
    """Where this user's backend writes its file and this user's Blender looks for it."""
    return _runtime_folder() / FILE_NAME


def _runtime_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        return Path(runtime, "humanref")
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "humanref" / "runtime"
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA", "")
        return Path(local or home / "AppData" / "Local", "humanref", "runtime")
    return home / ".cache" / "humanref" / "runtime"


def read_connection(path: Path) -> Connection:
    """The connection in the file at ``path``.

    Raises:
        ProtocolError: ``no_backend`` where there is no file; ``not_allowed`` where it cannot be opened,
            or holds a token that others may read; ``malformed``; ``protocol_mismatch``.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ProtocolError(
            NO_BACKEND,
            "No backend runs here (there is no connection file).",
            "Start the backend, or choose another connection file.",
            retryable=True,
        ) from error
    except OSError as error:
        raise ProtocolError(
            NOT_ALLOWED,
            f"The connection file {path} cannot be read ({error.strerror or type(error).__name__}).",
            "It belongs to whoever started the backend: start your own.",
        ) from error
    connection = _parse(data, path)
    if connection.token and os.name == "posix" and mode & _OTHERS:
        raise ProtocolError(
            NOT_ALLOWED,
            f"The connection file {path} holds a secret and other users may open it.",
            f"Run: chmod 600 '{path}'; then restart the backend, for its token may be known.",
        )
    return connection


def write_connection(path: Path, connection: Connection) -> None:
    """Write ``connection`` so that only this user can ever open it, whole or not at all.

    On POSIX the file is 0600 from its first byte and a folder made for it is 0700; on Windows the user's
    own application folder keeps others out.

    Raises:
        ProtocolError: ``malformed`` for a connection that could not be read again, ``disk_full`` or
            ``not_allowed`` where the file cannot be written; an older file is then as it was.
    """
    data = json.dumps(asdict(connection), indent=1).encode()
    _parse(data, path)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOINHERIT", 0)
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise _write_error(error, path) from error


def _write_error(error: OSError, path: Path) -> ProtocolError:
    reason = error.strerror or type(error).__name__
    return ProtocolError(
        DISK_FULL if error.errno == errno.ENOSPC else NOT_ALLOWED,
        f"The connection file {path} could not be written ({reason}).",
        "Choose another folder for it.",
    )


def _parse(data: bytes, path: Path) -> Connection:
    where = f"Connection file {path}"
    if len(data) > _FILE_BYTES:
        raise ProtocolError(MALFORMED, f"{where} is too long to be one.")
    try:
        tree: Any = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ProtocolError(
            MALFORMED, f"{where} is not readable.", "Restart the backend: it writes a new one."
        ) from error
    connection = from_tree(tree, Connection, where)
    check_version(connection.protocol)
    for name in ("control", "data"):
        match = _ENDPOINT.fullmatch(getattr(connection, name))
        if match is None or not 0 < int(match[2]) < 65536:
            raise ProtocolError(MALFORMED, f"{where}: {name} is no tcp://host:port.")
    if connection.server_key and not _Z85_KEY.fullmatch(connection.server_key):
        raise ProtocolError(MALFORMED, f"{where}: server_key is no CURVE key.")
    if connection.pid < 0 or len(connection.token) > 256:
        raise ProtocolError(MALFORMED, f"{where}: pid or token is not one.")
    return connection


def is_alive(connection: Connection) -> bool:
    """Whether the backend's process may still be there; a file without a pid counts as alive.

    A reused process id counts as well: only an answer to ``hello`` proves a backend.
    """
    if connection.pid == 0:
        return True
    if os.name == "nt":
        return _is_alive_windows(connection.pid)
    try:
        os.kill(connection.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        # Another user's process has the number, or no process can: neither is a backend of ours.
        return False
    return True


def _is_alive_windows(pid: int) -> bool:
    # os.kill on Windows ends the process whatever the signal.
    import ctypes

    still_active, query = 259, 0x1000
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(query, False, pid & 0xFFFFFFFF)
    if not handle:
        return False
    code = ctypes.c_ulong()
    known = kernel.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(code))
    kernel.CloseHandle(ctypes.c_void_p(handle))
    return bool(known) and code.value == still_active

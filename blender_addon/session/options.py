"""Which backend to speak to, as the preferences say it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ..shared_protocol.client.keys import KeyPair, read_key_pair
from ..shared_protocol.connection import Connection, default_connection_path, read_connection
from ..shared_protocol.errors import ProtocolError
from .problem import Problem, ProblemError


@dataclass(frozen=True)
class BackendOptions:
    """Where the backend is and what may be done to reach it."""

    remote: bool = False
    """Another machine's connection file, instead of this computer's backend."""
    connection_file: Path | None = None
    """None: the default place of a local backend."""
    command: str = ""
    """The humanref command or its environment's folder; empty to search for it."""
    key_file: Path | None = None
    """Own CURVE key pair, made by ``humanref keys``."""
    online_access: bool = False
    """Whether Blender may talk to other machines. This computer's loopback needs no leave."""
    attach: bool = True
    """Whether to connect by itself to a local backend that runs already."""

    @property
    def file(self) -> Path:
        """The connection file to read.

        Raises:
            ProblemError: ``no_connection_file`` where a remote backend was chosen and no file.
        """
        if self.connection_file is not None:
            return self.connection_file
        if self.remote:
            raise ProblemError(
                "no_connection_file",
                "No connection file of the remote backend was chosen.",
                "Copy it from the other machine and choose it in the add-on's preferences.",
            )
        return default_connection_path()

    def connection(self) -> Connection:
        """Read the connection file and check that the add-on may go there.

        Raises:
            ProblemError: what is wrong with the file, or ``offline``.
        """
        try:
            connection = read_connection(self.file)
        except ProtocolError as error:
            raise problem_error(error) from error
        elsewhere = not (is_loopback(connection.control) and is_loopback(connection.data))
        if elsewhere and not self.online_access:
            raise ProblemError(
                "offline",
                "Blender is set to offline, and this backend runs on another machine.",
                "Allow Online Access in Preferences > System > Network, or use a local backend.",
            )
        return connection

    def keys(self) -> KeyPair | None:
        """Own key pair, if one was chosen.

        Raises:
            ProblemError: the file cannot be used.
        """
        if self.key_file is None:
            return None
        try:
            return read_key_pair(self.key_file)
        except ProtocolError as error:
            raise problem_error(error) from error


def is_loopback(endpoint: str) -> bool:
    """Whether a ``tcp://`` endpoint stays on this computer."""
    host = (urlsplit(endpoint).hostname or "").lower()
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def problem_error(error: ProtocolError) -> ProblemError:
    """The same words, for whoever shows problems."""
    problem = Problem.of(error)
    return ProblemError(problem.code, problem.message, problem.hint)

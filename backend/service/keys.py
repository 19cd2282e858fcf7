"""CURVE key files: the server's own pair, and the public keys of clients who may connect.

The files are ZeroMQ certificates. Layout of a keys folder: ``server.key`` (for clients to know),
``server.key_secret`` (stays here), ``clients/NAME.key`` (who is allowed).
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth

from backend.errors import HumanRefError
from backend.files import write_error, write_whole
from backend.service.folders import make_private

SERVER = "server"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_KEY_BYTES = 40


@dataclass(frozen=True)
class ServerKeys:
    """The server's pair, Z85."""

    public: str
    secret: str = field(repr=False)


def make_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A new pair ``name.key`` and ``name.key_secret`` in ``folder``, both readable by their owner only.

    Raises:
        HumanRefError: ``key_name``; ``output_exists`` when there is one already; a folder that cannot
            be written.
    """
    check_name(name)
    if not folder.is_dir():
        # One that is there may be anybody's (the current folder): its rights are not ours to change.
        make_private(folder)
    public, secret = folder / f"{name}.key", folder / f"{name}.key_secret"
    for path in (public, secret):
        if path.exists():
            raise HumanRefError(
                "output_exists",
                f"{path} is there already.",
                "Keys are never replaced: delete it, or choose another name.",
            )
    try:
        # Under a private name first: the library writes with whatever rights the umask leaves.
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            zmq.auth.create_certificates(temporary, name)
            for path in (public, secret):
                made = Path(temporary, path.name)
                made.chmod(0o600)
                os.replace(made, path)
    except OSError as error:
        raise write_error(error, folder) from error
    return public, secret


def load_server_keys(folder: Path) -> ServerKeys:
    """The server's pair.

    Raises:
        HumanRefError: ``keys_missing``, ``key_unreadable``.
    """
    path = folder / f"{SERVER}.key_secret"
    if not path.is_file():
        raise HumanRefError(
            "keys_missing",
            "The server has no keys yet.",
            "Make them with: humanref keys server",
        )
    public, secret = _load(path)
    if secret is None:
        raise HumanRefError(
            "key_unreadable", f"{path} holds no secret key.", "Delete it and make keys again."
        )
    return ServerKeys(public, secret)


def allow_client(folder: Path, key_file: Path, name: str | None = None) -> Path:
    """Let the owner of the public key in ``key_file`` connect; the file made for it.

    Raises:
        HumanRefError: ``key_name``, ``key_unreadable``, or a folder that cannot be written.
    """
    public, _ = _load(key_file)
    chosen = name or key_file.name.removesuffix(".key_secret").removesuffix(".key")
    check_name(chosen)
    clients = make_private(folder / "clients")
    path = clients / f"{chosen}.key"
    # Only the public half, whatever file was given.
    write_whole(path, f'metadata\ncurve\n    public-key = "{public}"\n'.encode())
    return path


def revoke_client(folder: Path, name: str) -> None:
    """Take a client off the list; a running server notices within seconds.

    Raises:
        HumanRefError: ``key_name``, ``key_unknown``.
    """
    check_name(name)
    path = folder / "clients" / f"{name}.key"
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise HumanRefError(
            "key_unknown",
            f"No client called {name} is allowed.",
            "humanref keys list shows their names.",
        ) from error
    except OSError as error:
        raise write_error(error, path) from error


def allowed_clients(folder: Path) -> dict[str, str]:
    """Public key (Z85) -> name of every client who may connect; files that hold no key are passed over."""
    allowed = {}
    clients = folder / "clients"
    for path in sorted(clients.glob("*.key")) if clients.is_dir() else ():
        try:
            public, _ = _load(path)
        except HumanRefError:
            continue
        allowed[public] = path.name.removesuffix(".key")
    return allowed


def check_name(name: str) -> None:
    """Raises HumanRefError ``key_name`` for what cannot be a file name everywhere."""
    if _NAME.fullmatch(name) is None:
        raise HumanRefError(
            "key_name",
            f"{name!r} cannot be the name of a key.",
            "Use letters, digits, dots, hyphens and underscores.",
        )


def _load(path: Path) -> tuple[str, str | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise HumanRefError(
            "key_unreadable",
            f"The key file {path} cannot be read ({reason}).",
            "Give a .key file made by humanref keys.",
        ) from error
    if len(public) != _KEY_BYTES:
        raise HumanRefError(
            "key_unreadable",
            f"The key in {path} is not a CURVE key.",
            "Give a .key file made by humanref keys.",
        )
    return public.decode(), None if secret is None else secret.decode()

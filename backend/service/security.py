"""Who may connect: loopback with a token, or anybody on an allow-list under CURVE; nothing else."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import zmq
from zmq.utils import z85

from backend.errors import HumanRefError
from backend.service.keys import ServerKeys, allowed_clients, load_server_keys
from backend.service.options import ServeOptions

LOCAL = "local"
"""The owner of everything that comes over loopback without CURVE."""
_ZAP = "inproc://zeromq.zap.01"
_DOMAIN = "humanref"


@dataclass(frozen=True)
class Bind:
    """Where to listen."""

    host: str
    port: int | None
    """Of the control socket; None for any free one."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def url_host(self) -> str:
        """The host as it stands in an endpoint."""
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_bind(text: str) -> Bind:
    """Read ``tcp://HOST`` or ``tcp://HOST:PORT``; HOST is an address of this machine.

    Raises:
        HumanRefError: ``bind_unusable``.
    """
    try:
        url = urlsplit(text)
        port = url.port
        host = {"localhost": "127.0.0.1", "*": "0.0.0.0"}.get(url.hostname or "", url.hostname)
        if url.scheme != "tcp" or not host or url.path or url.query or url.username:
            raise ValueError(text)
        ipaddress.ip_address(host)
        if port is not None and not 1 <= port <= 65534:
            raise ValueError(text)
    except ValueError as error:
        raise HumanRefError(
            "bind_unusable",
            f"--bind {text} is not an address to listen on.",
            "Give tcp://127.0.0.1, or tcp://0.0.0.0:7700 to be reached from other machines.",
        ) from error
    return Bind(host, port)


class Guard:
    """Decides about connections and greetings.

    Without CURVE the token of the connection file proves that a client may read that file. With it
    the client's key must be on the allow-list, which is read again whenever it changes.
    """

    def __init__(self, keys: ServerKeys | None, folder: Path) -> None:
        self._keys, self._folder = keys, folder
        self.token = "" if keys else secrets.token_urlsafe(32)
        self._stamp: int | None = None
        self._allowed: dict[str, str] = {}
        self._zap: zmq.Socket[bytes] | None = None

    @staticmethod
    def of(options: ServeOptions, bind: Bind) -> Guard:
        """The guard that ``options`` ask for.

        Raises:
            HumanRefError: ``keys_missing``, ``clients_missing``: other machines could reach the server
                and nobody could tell who they are.
        """
        if bind.is_loopback and not options.curve:
            return Guard(None, options.keys)
        try:
            keys = load_server_keys(options.keys)
        except HumanRefError as error:
            if error.code != "keys_missing" or bind.is_loopback:
                raise
            raise HumanRefError(
                "keys_missing",
                f"{options.bind} can be reached from other machines, and the server has no keys.",
                "Make them with: humanref keys server; then: humanref keys client NAME; "
                "humanref keys allow NAME.key. Or listen on tcp://127.0.0.1 only.",
            ) from error
        guard = Guard(keys, options.keys)
        if not guard.allowed():
            raise HumanRefError(
                "clients_missing",
                "No client's key is allowed yet, so nobody could connect.",
                "Make one with: humanref keys client NAME; then: humanref keys allow NAME.key",
            )
        return guard

    @property
    def server_key(self) -> str:
        """The public key that clients must know; empty without CURVE."""
        return self._keys.public if self._keys else ""

    def allowed(self) -> dict[str, str]:
        """Public key -> name of the clients on the list now."""
        folder = self._folder / "clients"
        try:
            stamp = folder.stat().st_mtime_ns
        except OSError:
            stamp = -1
        if stamp != self._stamp:
            self._stamp, self._allowed = stamp, allowed_clients(self._folder)
        return self._allowed

    def open(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes] | None:
        """The socket on which ZeroMQ asks who may connect, to be polled; None without CURVE."""
        if self._keys is None:
            return None
        self._zap = context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP)
        return self._zap

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Set up a socket before it is bound."""
        if self._keys is None:
            return
        socket.curve_server = True
        socket.curve_secretkey = self._keys.secret.encode()
        socket.curve_publickey = self._keys.public.encode()
        socket.zap_domain = _DOMAIN.encode()

    def answer(self) -> bool:
        """Answer one question of ZeroMQ's, if there is one; whether somebody was let in."""
        assert self._zap is not None
        try:
            frames = self._zap.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return False
        version, request, domain, _, _, mechanism, *credentials = [*frames, *[b""] * 6][
            : max(6, len(frames))
        ]
        user = ""
        if mechanism == b"CURVE" and domain == _DOMAIN.encode() and len(credentials) == 1:
            key = z85.encode(credentials[0]).decode()
            user = key if key in self.allowed() else ""
        status, text = (b"200", b"OK") if user else (b"400", b"Unknown key")
        self._zap.send_multipart([version, request, status, text, user.encode(), b""])
        return bool(user)

    def owner(self, frame: zmq.Frame) -> str | None:
        """Whose message a frame belongs to; None where the line's key is not allowed (any more)."""
        if self._keys is None:
            return LOCAL
        try:
            user = str(frame.get("User-Id"))
        except (zmq.ZMQError, UnicodeDecodeError):
            return None
        return user if user in self.allowed() else None

    def knows(self, token: str) -> bool:
        """Whether a greeting proves that its sender may be here."""
        return self._keys is not None or hmac.compare_digest(token.encode(), self.token.encode())

"""Greeting, staying in touch, leaving; on control, ``hello`` and ``ping`` on both."""

from __future__ import annotations

from attrs import Factory, frozen

from ..limits import Limits


@frozen(kw_only=True)
class Hello:
    """First message of a client on each socket."""

    client: str
    client_version: str
    protocol: str
    """``major.minor``."""
    token: str = ""
    """The connection file's; proves that the client may read that file. Unused under CURVE."""
    session: str = ""
    """A session to take up again after a reconnect; empty for a new one."""


@frozen(kw_only=True)
class BodyInfo:
    """A body model that the server has."""

    name: str
    licence: str
    n_betas: int


@frozen(kw_only=True)
class Welcome:
    """Reply to ``hello``: who the server is and what it can do."""

    session: str
    server: str
    server_version: str
    protocol: str
    limits: Limits
    device: str
    """``cpu`` or ``cuda`` and why, a sentence for people."""
    memory_mb: int
    """Of the machine that computes."""
    providers: dict[str, str] = Factory(dict)
    """Stage -> implementation and why."""
    bodies: tuple[BodyInfo, ...] = ()
    presets: tuple[str, ...] = ()
    guidances: tuple[str, ...] = ()
    """The backend's usual one first."""
    ready: bool = True
    """Whether a warm worker waits; False in the first seconds after a start."""


@frozen(kw_only=True)
class Ping:
    """Is anybody there?"""


@frozen(kw_only=True)
class Pong:
    """Reply to ``ping``."""

    ready: bool
    running_jobs: int
    queued_jobs: int


@frozen(kw_only=True)
class Bye:
    """The sender leaves; jobs go on."""

    reason: str = ""

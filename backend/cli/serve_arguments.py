"""What ``humanref serve`` and ``humanref keys`` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from backend.cli.fields import Flag, optional


@dataclass(frozen=True)
class Serve:
    """Compute for Blender: wait for photos, propose poses, generate characters.

    Example: humanref serve
    """

    bind: Annotated[str, arg(metavar="ADDRESS")] = "tcp://127.0.0.1"
    """Where to listen: tcp://HOST for free ports, tcp://HOST:PORT for PORT and PORT + 1."""
    address: Annotated[str, arg(metavar="NAME", help_behavior_hint="")] = ""
    """Name or address of this machine for others, written into the connection file."""
    connection_file: Annotated[Path | None, optional("FILE")] = None
    """Where clients read how to connect; your runtime folder when left out."""
    data_dir: Annotated[Path | None, optional("DIR")] = None
    """Jobs, photos and results; your user data folder when left out."""
    max_jobs: Annotated[int, arg(metavar="N")] = 1
    """Characters generated at the same time; estimates never wait for them."""
    ttl_days: Annotated[float, arg(metavar="DAYS")] = 7.0
    """Photos and finished jobs are deleted after this."""
    quota_gb: Annotated[float, arg(metavar="GB")] = 20.0
    """Room for the photos and results of one client; more is refused until jobs are forgotten."""
    idle_exit: Annotated[float | None, optional("MIN")] = None
    """Stop after so many minutes with nobody connected and nothing to do."""
    curve: Flag = False
    """Encrypt and ask for keys on this machine as well; any other address always does."""
    keys_dir: Annotated[Path | None, optional("DIR")] = None
    """Key files; the folder keys in the data folder when left out."""
    smplx_model: Annotated[Path | None, optional("PATH")] = None
    """Your licensed SMPLX_NEUTRAL.npz, for jobs that ask for the smplx body."""
    prior: Annotated[str | None, optional("FOLDER")] = None
    """Diffusion model instead of the one that ships: as for humanref generate."""
    json: Flag = False
    """Print one JSON object when it stops; what happens meanwhile is in the log."""


@dataclass(frozen=True)
class Keys:
    """Make and manage the keys of a server that other machines may reach.

    Example: humanref keys server; humanref keys client anna; humanref keys allow anna.key
    """

    action: Positional[Literal["server", "client", "allow", "revoke", "list"]]
    """server, client: make a pair; allow FILE, revoke NAME; list who is allowed."""
    name: Annotated[Positional[str], arg(metavar="[NAME]", help_behavior_hint="")] = ""
    """A new client's name, the public key file to allow, or the name to revoke."""
    to: Annotated[Path, arg(metavar="DIR")] = Path()
    """Folder for a new client's pair."""
    data_dir: Annotated[Path | None, optional("DIR")] = None
    """The server's data folder, as given to humanref serve."""
    keys_dir: Annotated[Path | None, optional("DIR")] = None
    """The server's key files, as given to humanref serve."""
    json: Flag = False
    """Print one JSON object on stdout."""

"""What ``humanref serve`` is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from backend.settings import Guidance
from shared_protocol.limits import Limits

SHIPPED_GUIDANCES: tuple[Guidance, ...] = tuple(
    name for name in get_args(Guidance) if name != "vsd"
)
"""What every installation can do; VSD learns a LoRA of a Stable Diffusion that the user brings."""


@dataclass(frozen=True)
class ServeOptions:
    """One server: where it listens, where it keeps things, and how much it takes on."""

    data_dir: Path
    connection_file: Path
    """Written when the server answers, removed when it stops."""
    bind: str = "tcp://127.0.0.1"
    """``tcp://HOST`` for free ports, or ``tcp://HOST:PORT`` for control at PORT and data at PORT + 1."""
    address: str = ""
    """Host name that clients use; empty where it is the host of ``bind``."""
    curve: bool = False
    """Demand CURVE on loopback too; any other bind demands it anyway."""
    keys_dir: Path | None = None
    """Server key and allowed clients; ``keys`` in the data folder when None."""
    max_jobs: int = 1
    """Characters generated at the same time."""
    ttl_days: float = 7.0
    """Jobs and photos are deleted this long after they ended or arrived."""
    quota_gb: float = 20.0
    """Photos, unfinished uploads and results of one owner together, 10^9 bytes."""
    idle_exit_minutes: float | None = None
    """Stop when nobody was connected and nothing ran for this long; None for never."""
    smplx_path: Path | None = None
    """The user's licensed SMPL-X file or folder, for jobs with ``body = "smplx"``."""
    prior: str | None = None
    """Folder or hub id of a diffusion model, in place of the one that ships."""
    guidances: tuple[Guidance, ...] = SHIPPED_GUIDANCES
    """What jobs may ask for, the usual one first."""
    max_sessions: int = 64
    max_sessions_of_owner: int = 16
    """Of one owner: the others get in as well."""
    greetings_per_second: float = 10.0
    """Of one owner, on average; six seconds' worth at once."""
    session_silence: float = 3600.0
    """Seconds after which a silent session is forgotten."""
    cancel_grace: float = 3.0
    """Seconds a worker has to stop a job before it is killed."""
    stop_grace: float = 8.0
    """The same when the server stops and checkpoints are to be kept."""
    warm_batch: bool | None = None
    """Keep a worker for characters warm as well; None where there is memory for it."""
    limits: Limits = field(default_factory=Limits)

    @property
    def keys(self) -> Path:
        """Folder of the key files."""
        return self.keys_dir or self.data_dir / "keys"

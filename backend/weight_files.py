"""A folder of weights that ships or that a training made: one file, and a record with its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import HumanRefError
from backend.files import write_whole

CONFIG = "config.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class WeightFolder:
    """Which weights, and what to say when they cannot be read."""

    folder: Path
    owner: str
    """Whose they are, as a sentence begins."""
    advice: str
    """What to do about it."""
    format: int
    """Counts up when the same file would mean something else."""

    def write(self, data: bytes, record: Mapping[str, Any]) -> None:
        """Write ``data`` (safetensors) and ``record``.

        Raises:
            HumanRefError: ``disk_full``, ``unwritable``, ``write_failed``.
        """
        digest = hashlib.sha256(data).hexdigest()
        config = {"format": self.format, "sha256": digest, **record}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / WEIGHTS, data)
        write_whole(self.folder / CONFIG, (json.dumps(config, indent=1) + "\n").encode())

    def read(self) -> tuple[bytes, dict[str, Any]]:
        """The weights, every byte of them as it was written, and the record.

        Raises:
            HumanRefError: ``weights_missing``; ``weights_corrupt`` when a file is not as it was written.
        """
        try:
            config = json.loads((self.folder / CONFIG).read_text("utf-8"))
            data = (self.folder / WEIGHTS).read_bytes()
        except OSError as error:
            name = Path(error.filename or WEIGHTS).name
            raise HumanRefError(
                "weights_missing",
                f"{self.owner}'s {name} cannot be read in {self.folder}.",
                self.advice,
            ) from error
        except ValueError as error:
            raise self.corrupt(f"{CONFIG} is not JSON") from error
        if not isinstance(config, dict) or not {"format", "sha256"} <= config.keys():
            raise self.corrupt(f"{CONFIG} does not say which network it is")
        if config["format"] != self.format:
            known = f"{CONFIG} is of format {config['format']}, this version reads {self.format}"
            raise self.corrupt(known)
        if hashlib.sha256(data).hexdigest() != config["sha256"]:
            raise self.corrupt(f"{WEIGHTS} is not the file that {CONFIG} names")
        return data, config

    def corrupt(self, why: str) -> HumanRefError:
        """``weights_corrupt``, for those who look inside."""
        return HumanRefError(
            "weights_corrupt",
            f"{self.owner}'s weights in {self.folder} are damaged: {why}.",
            self.advice,
        )

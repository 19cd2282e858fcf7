"""The server's log: one JSON object a line, bounded, without anything private.

Photos, file names, prompts and folders never appear: events carry ids, codes, sizes and times only.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import time
from pathlib import Path
from typing import Any

LOGGER = "humanref.service"
_BYTES = 1_000_000
_FILES = 4


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, event, and the fields given with it."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, "fields", {})
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **fields,
        }
        return json.dumps(line, default=str)


class ServiceLog:
    """Writes to ``folder/serve.log``; four files of at most one megabyte are kept."""

    def __init__(self, folder: Path) -> None:
        self._handler = logging.handlers.RotatingFileHandler(
            folder / "serve.log", maxBytes=_BYTES, backupCount=_FILES - 1, encoding="utf-8"
        )
        self._handler.setFormatter(JsonLines())
        # A full disk must not end the server through its log.
        self._handler.handleError = lambda record: None  # type: ignore[method-assign]
        if os.name == "posix":
            (folder / "serve.log").chmod(0o600)
        self._logger = logging.Logger(LOGGER)
        self._logger.addHandler(self._handler)

    def event(self, name: str, level: int = logging.INFO, **fields: str | int | float) -> None:
        """Log an event by its name and fields; values must hold nothing private."""
        self._logger.log(level, name, extra={"fields": fields})

    def failure(self, name: str, error: BaseException) -> None:
        """Log where an unexpected error of ours arose: types and lines, not its text."""
        self.event(name, logging.ERROR, error=type(error).__name__, at=origin(error))

    def close(self) -> None:
        """Flush and let go of the file."""
        self._handler.close()


def origin(error: BaseException) -> str:
    """Where an error arose, innermost first: file names and lines of code, no folders, no values."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(places[::-1][:12])

"""Files that are either whole or not there, and failed writes in words."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from backend.errors import HumanRefError

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name beside ``path``, then rename: nothing is half-written.

    Raises:
        HumanRefError: see :func:`write_error`; an old file at ``path`` is then as it was.
    """
    temporary = path.with_name(f".humanref-{secrets.token_hex(8)}")
    try:
        # Opened by its name and not by mkstemp, whose files only their owner may read.
        with temporary.open("xb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise write_error(error, path) from error
        raise


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed for want of space or quota."""
    return error.errno in _FULL


def write_error(error: OSError, path: Path) -> HumanRefError:
    """A failed write of ``path`` in words: ``disk_full``, ``unwritable`` or ``write_failed``."""
    if is_disk_full(error):
        return HumanRefError(
            "disk_full",
            f"The disk is full: {path} could not be written.",
            "Free some space and run again.",
            retryable=True,
        )
    if error.errno in _FORBIDDEN:
        return HumanRefError(
            "unwritable",
            f"{path} may not be written.",
            "Choose another folder, or close the program that has the file open.",
        )
    reason = error.strerror or type(error).__name__
    return HumanRefError(
        "write_failed", f"{path} could not be written ({reason}).", "Choose another place for it."
    )

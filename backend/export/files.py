"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from backend.errors import HumanRefError

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def write_whole(path: Path, data: bytes) -> None:
    """Write ``data`` under a temporary name beside ``path``, then rename: nothing is half-written.

    Raises:
        HumanRefError: ``disk_full``, or ``unwritable`` for any other refusal of the system.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=".humanref-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files that only their owner may read; give back what the umask allows.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise _in_words(error, path) from error
    except BaseException:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise


def _in_words(error: OSError, path: Path) -> HumanRefError:
    if error.errno in _FULL:
        return HumanRefError(
            "disk_full",
            f"The disk is full: {path} could not be written.",
            "Free some space and run again.",
            retryable=True,
        )
    reason = error.strerror or type(error).__name__
    return HumanRefError(
        "unwritable",
        f"{path} could not be written ({reason}).",
        "Choose another folder, or close the program that has the file open.",
    )

"""How much memory this machine has and has left, within what a container allows."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def total_memory_mb() -> int:
    """Memory this process may ever use, MiB; 0 where the system does not say."""
    if sys.platform == "win32":
        return _windows_memory()[0]
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    limit = _number(_CGROUP / "memory.max")
    return machine if limit is None else min(machine, limit >> 20)


def available_memory_mb() -> int | None:
    """Memory that can be taken now without swapping, MiB; None where the system does not say."""
    if sys.platform == "win32":
        return _windows_memory()[1]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next((int(x.split()[1]) >> 10 for x in lines if x.startswith("MemAvailable:")), None)
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if free is None or limit is None or used is None:
        return free
    return min(free, (limit - used) >> 20)


def _number(path: Path) -> int | None:
    """``max`` and a missing file are no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _windows_memory() -> tuple[int, int]:
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
        )

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.total) >> 20, int(status.free) >> 20

"""Peak memory of this process, without psutil, on Linux, macOS and Windows."""

from __future__ import annotations

import sys
from pathlib import Path

MIB = float(2**20)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MiB."""
    if sys.platform == "win32":
        return _windows_peak() / MIB
    # On Linux getrusage also counts the parent from before exec; VmHWM is this program's own.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024.0 / MIB
    import resource

    peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak / MIB if sys.platform == "darwin" else peak * 1024.0 / MIB


def _windows_peak() -> float:
    """PeakWorkingSetSize of the running process, bytes."""
    if sys.platform != "win32":
        raise OSError("GetProcessMemoryInfo exists on Windows only")
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = [
            ("cb", wintypes.DWORD),
            ("PageFaultCount", wintypes.DWORD),
            *(
                (name, ctypes.c_size_t)
                for name in (
                    "PeakWorkingSetSize",
                    "WorkingSetSize",
                    "QuotaPeakPagedPoolUsage",
                    "QuotaPagedPoolUsage",
                    "QuotaPeakNonPagedPoolUsage",
                    "QuotaNonPagedPoolUsage",
                    "PagefileUsage",
                    "PeakPagefileUsage",
                )
            ),
        ]

    counters = Counters()
    counters.cb = ctypes.sizeof(counters)
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    query = kernel.K32GetProcessMemoryInfo
    query.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    query.restype = wintypes.BOOL
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    if not query(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        raise ctypes.WinError(ctypes.get_last_error())
    return float(counters.PeakWorkingSetSize)

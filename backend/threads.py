"""Thread counts, set once and in one place.

Torch, numba and OpenCV each start a pool of one thread per core; together they oversubscribe the
machine (measured on 2 cores: 15 s a step instead of 1.1 s). Call :func:`configure_threads` before the
first heavy call.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Cores this process may run on (respects affinity masks and container limits)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def calm_thread_pools() -> None:
    """Keep threads from waiting by spinning; call before numpy, torch or numba is imported.

    A thread that spins at a barrier takes the core from the one it waits for whenever another program
    runs (measured on 2 cores beside 6 busy processes: 27 s against 6.8 s for the same 20 steps), so idle
    OpenMP threads sleep. NumPy's own linear algebra gets one thread: its matrices here are small, its
    threads spin too, and the body fit takes 0.7 s with one against 1.3 to 4.1 s with two. Values that
    the user set stay.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def configure_threads(threads: int | None = None) -> int:
    """Give torch, numba and OpenCV the same number of threads and flush denormals to zero.

    Denormals make a softplus 7x slower on CPUs; nothing here needs them. Returns the count set.
    """
    import cv2
    import numba
    import torch

    count = threads or usable_cores()
    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    cv2.setNumThreads(count)
    torch.set_flush_denormal(True)
    return count


@contextmanager
def few_torch_threads() -> Iterator[None]:
    """One thread for torch's own CPU operations, while numba's kernels keep all cores.

    A step of the fit runs a hundred small torch operations between ten large kernels. Waking a second
    thread for each of the small ones costs more than it brings: measured 99 ms a step against 73, and
    on a busy machine ten times as much.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """``function`` of each item, in their order, on as many Python threads as numba has threads.

    Torch gets one thread in each: operations of a small network are too short to be shared out. A pass
    of the compact prior took 54 ms with one thread of torch, 81 with two, and 33 with two passes beside
    each other. What ``function`` raises is raised here.
    """
    import numba

    workers = min(numba.get_num_threads(), len(items))
    if workers <= 1:
        return [function(item) for item in items]

    def alone(item: Item) -> Result:
        with few_torch_threads():
            return function(item)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(alone, items))

import os
import subprocess
import sys
import threading

import numba
import pytest
import torch

from backend.threads import (
    calm_thread_pools,
    configure_threads,
    few_torch_threads,
    side_by_side,
    usable_cores,
)

DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    "chosen", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"OPENBLAS_NUM_THREADS": "4"}]
)
def test_idle_threads_sleep_unless_the_user_wants_otherwise(monkeypatch, chosen) -> None:
    for name in DEFAULTS:
        # Set first, so that monkeypatch also takes back what the function adds.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    calm_thread_pools()
    assert {name: os.environ[name] for name in DEFAULTS} == {**DEFAULTS, **chosen}


def test_the_command_sets_the_pools_before_numpy_comes() -> None:
    code = "import sys; import backend.cli.app; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_pool_gets_the_same_number_of_threads() -> None:
    before = torch.get_num_threads(), numba.get_num_threads()
    try:
        count = configure_threads(1)
        assert (count, torch.get_num_threads(), numba.get_num_threads()) == (1, 1, 1)
        assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def test_the_loop_keeps_torch_to_one_thread_and_gives_the_others_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)

    def interrupted() -> None:
        with few_torch_threads():
            assert torch.get_num_threads() == 1
            raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_side_by_side_keeps_the_order_and_gives_torch_one_thread_in_each() -> None:
    before = numba.get_num_threads(), torch.get_num_threads()
    both = threading.Barrier(2, timeout=30.0)

    def slow(item: int) -> tuple[int, int]:
        both.wait()
        return item * item, torch.get_num_threads()

    try:
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        if numba.get_num_threads() < 2:
            pytest.skip("one thread: nothing runs beside anything")
        assert side_by_side(slow, [3, 1, 2, 4]) == [(9, 1), (1, 1), (4, 1), (16, 1)]
        assert torch.get_num_threads() == before[1]
    finally:
        numba.set_num_threads(before[0])


@pytest.mark.parametrize("count", [1, 2])
def test_side_by_side_raises_what_an_item_raises(count) -> None:
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        assert side_by_side(str, []) == []
        with pytest.raises(ZeroDivisionError):
            side_by_side(lambda item: 1 / item, [1, 0])
    finally:
        numba.set_num_threads(before)

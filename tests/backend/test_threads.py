import os

import numba
import pytest
import torch

from backend.threads import calm_thread_pools, configure_threads, usable_cores


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_what_the_user_chose_about_waiting_stays(monkeypatch, name) -> None:
    for each in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "7")
    before = dict(os.environ)
    calm_thread_pools()
    assert dict(os.environ) == before


def test_threads_wait_briefly_unless_told_otherwise(monkeypatch) -> None:
    for each in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        # Set first, so that monkeypatch also takes back what the function adds.
        monkeypatch.setenv(each, "")
        monkeypatch.delenv(each)
    calm_thread_pools()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert 0 < int(os.environ["GOMP_SPINCOUNT"]) < 20_000


def test_every_pool_gets_the_same_number_of_threads() -> None:
    before = torch.get_num_threads(), numba.get_num_threads()
    try:
        count = configure_threads(1)
        assert (count, torch.get_num_threads(), numba.get_num_threads()) == (1, 1, 1)
        assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])

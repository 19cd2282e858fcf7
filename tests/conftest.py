"""Shapes and dtypes of every annotated array are checked at run time in the tests."""

import signal
import sys
from collections.abc import Iterator

import pytest
from jaxtyping import install_import_hook

from backend.threads import calm_thread_pools

calm_thread_pools()
# A shell's background jobs ignore SIGINT, and so would the programs that tests stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
install_import_hook(["backend"], "beartype.beartype")


@pytest.fixture(autouse=True)
def ieee_floats() -> Iterator[None]:
    """A run sets the processor to flush denormals; the next test starts without that."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)

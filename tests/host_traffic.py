"""Finds what would make the host wait for a GPU, on machines without one.

Code that runs on PyTorch's "meta" device takes every branch of a GPU, and reading a value (``item``,
``nonzero``, a boolean index, ``cpu``) raises by itself there. What is left are copies to the device.
"""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class NumbersFromHost(TorchFunctionMode):
    """Refuses tensors made of Python numbers on the device: each is a copy that waits."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func.__name__ in ("tensor", "new_tensor", "as_tensor") and made.device.type != "cpu":
            raise AssertionError(f"{func.__name__} copies numbers to the device")
        return made


class HostTraffic(TorchDispatchMode):
    """Refuses copies between host and device; what reads a value, "meta" itself refuses."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        places = {a.device.type for a in args if isinstance(a, torch.Tensor) and a.ndim > 0}
        if "device" in kwargs and kwargs["device"] is not None and places:
            places.add(torch.device(kwargs["device"]).type)
        if len(places) > 1:
            raise AssertionError(f"{func} carries numbers between host and device")
        return func(*args, **kwargs)

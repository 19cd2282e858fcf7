"""Waiting longer after every failed attempt, by a random share so that clients do not come at once."""

from __future__ import annotations

from random import Random


class Backoff:
    """Exponential waits with jitter: between half and the whole of ``first * 2^n``, at most ``longest``."""

    def __init__(self, first: float, longest: float, random: Random | None = None) -> None:
        self._first = first
        self._longest = longest
        self._random = random or Random()
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        # The exponent is bounded because 2.0 ** n overflows after some hours of failures.
        whole = min(self._longest, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return max(min(self._first, whole), whole * self._random.uniform(0.5, 1.0))

    def reset(self) -> None:
        """After a success the next failure waits shortly again."""
        self._failures = 0

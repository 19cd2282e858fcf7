"""How often somebody may ask: a bucket that fills with time."""

from __future__ import annotations


class TokenBucket:
    """Grants ``rate`` requests a second on average and ``burst`` at once."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """``now``: seconds of a monotonic clock, as in :meth:`take`."""
        self._rate, self._burst = rate, burst
        self._level, self._at = burst, now

    def take(self, now: float) -> bool:
        """Whether one more request is allowed now; counts it when it is."""
        elapsed = max(0.0, now - self._at)
        self._level = min(self._burst, self._level + elapsed * self._rate)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

"""How long the client waits for what."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Timing:
    """Seconds; the defaults are what a person at a screen finds right, tests make them shorter."""

    ping_every: float = 2.0
    silent_after: float = 6.0
    """Nothing heard for so long: the line is taken as cut."""
    resend_after: float = 2.0
    """A request without a reply is sent again, at first after so long, then after twice as long ..."""
    resend_longest: float = 8.0
    resend_times: int = 8
    """... and given up after so many times."""
    ask_job_every: float = 5.0
    """A followed job that says nothing for so long is asked about: its last push may be lost."""
    retry_first: float = 0.5
    retry_longest: float = 10.0

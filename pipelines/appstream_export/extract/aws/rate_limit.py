"""A fixed call rate for services whose quota is shared: STS, Organizations, SSM."""

import threading
import time

# Far below AWS's quotas per account (STS 600 a second, Organizations about 8 for lists, SSM 40): other users need them.
CALLS_PER_S = {"sts": 50.0, "organizations": 4.0, "ssm": 10.0}


class RateLimiter:
    """At most `calls_per_s` calls a second over all threads; after a pause, at most one second's calls at once."""

    def __init__(self, calls_per_s: float) -> None:
        if calls_per_s <= 0:
            raise ValueError(f"the rate limit must be positive, not {calls_per_s} calls per second")
        self._gap_s = 1 / calls_per_s
        self._next = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Reserve the next free slot and return the seconds until it begins, 0 if it is now."""
        with self._lock:
            now = time.monotonic()
            # Unused slots expire after a second, so that a pause allows no long burst.
            slot = max(self._next, now - max(0.0, 1.0 - self._gap_s))
            self._next = slot + self._gap_s
            return max(0.0, slot - now)

    def wait(self, stop: threading.Event) -> bool:
        """Wait for a slot: return True when the call may be made, False as soon as `stop` is set."""
        return not stop.wait(self.reserve())

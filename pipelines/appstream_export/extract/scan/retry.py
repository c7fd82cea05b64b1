"""Retries of a page or a session: their number, and the waits before them."""

import random
from collections import Counter
from dataclasses import dataclass, field

from appstream_export.errors import RetriableScopeError, ScopeError
from appstream_export.status import Status

BACKOFF_S = 0.5  # longest first wait; doubles with each failure
BACKOFF_MAX_S = 20.0
# More tries help with throttles, but not with a missing endpoint (botocore tries twice each time) or old credentials.
_CALLS_MAX = {Status.UNAVAILABLE: 2, Status.EXPIRED: 2}


@dataclass(slots=True)
class RetryState:
    """Tries of a page or session over all layers: botocore's second try counts, too."""

    max_attempts: int
    tries: int = 0
    failures: Counter[Status] = field(default_factory=Counter)
    last_reason: str | None = None
    """The reason of the last failure."""

    @property
    def tries_left(self) -> int:
        """The number of tries left; at least one, for the next call."""
        return max(1, self.max_attempts - self.tries)

    def record_failure(self, error: ScopeError) -> float | None:
        """Record a failure; return the seconds until the next try, with full jitter, or None if the error is final."""
        self.failures[error.status] += 1
        self.last_reason = error.reason
        used_up = self.failures[error.status] >= _CALLS_MAX.get(error.status, self.max_attempts)
        if not isinstance(error, RetriableScopeError) or used_up or self.tries >= self.max_attempts:
            return None
        if error.status is Status.EXPIRED:
            return 0.0  # the next try has a new session: no service needs time to recover
        longest = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** (self.failures.total() - 1))
        return random.uniform(0, longest)  # noqa: S311  jitter is not a secret

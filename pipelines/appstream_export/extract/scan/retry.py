"""Retries of one page, or of one session: how many, and after how long."""

import random
from collections import Counter
from dataclasses import dataclass, field

from appstream_export.errors import RetriableScopeError, ScopeError
from appstream_export.status import Status

BACKOFF_S = 0.5  # first wait at most; doubles with each failure
BACKOFF_MAX_S = 20.0
# Asking on helps throttles, not these: a region without endpoint (botocore tries twice each time), expired credentials.
_CALLS_MAX = {Status.UNAVAILABLE: 2, Status.EXPIRED: 2}


@dataclass(slots=True)
class RetryState:
    """Tries of one page over all layers: botocore's second try counts like ours."""

    max_attempts: int
    tries: int = 0
    failures: Counter[Status] = field(default_factory=Counter)
    last_reason: str | None = None
    """Why the last try failed."""

    @property
    def tries_left(self) -> int:
        """At least one, for the call that is about to be made."""
        return max(1, self.max_attempts - self.tries)

    def record_failure(self, error: ScopeError) -> float | None:
        """Seconds until the next try, with full jitter; None when the error stands."""
        self.failures[error.status] += 1
        self.last_reason = error.reason
        used_up = self.failures[error.status] >= _CALLS_MAX.get(error.status, self.max_attempts)
        if not isinstance(error, RetriableScopeError) or used_up or self.tries >= self.max_attempts:
            return None
        if error.status is Status.EXPIRED:
            return 0.0  # the session is new, no service needs to recover
        longest = min(BACKOFF_MAX_S, BACKOFF_S * 2 ** (self.failures.total() - 1))
        return random.uniform(0, longest)  # noqa: S311  jitter is no secret

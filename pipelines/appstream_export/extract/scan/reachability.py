"""Which regions nobody could reach so far: after some accounts, each further one gets a single short try there.

Until a region answers or is known to be dead, few calls go there at once, for each may hold its worker for long.
"""

import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

from appstream_export.error_rules import UNREACHABLE
from appstream_export.errors import ScopeError

ACCOUNTS_MIN = 3  # so many accounts found nobody: it is the region, not one connection
FIRST_CALLS_MAX = 2 * ACCOUNTS_MIN  # at once, to a region that has not answered yet
_NO_ANSWER = UNREACHABLE | {"Timeout"}

Place = tuple[str, str]
"""A service and a region."""


class Reachability:
    """What answered and what did not, over all accounts and threads of a run."""

    def __init__(self) -> None:
        self._answered: set[Place] = set()
        self._failed: dict[Place, set[str]] = {}
        self._failed_since: dict[Place, float] = {}
        self._last_answer_at = 0.0
        self._calling: Counter[Place] = Counter()
        self._lock = Lock()

    def record_answer(self, place: Place | None = None) -> None:
        """Note that AWS answered, an error or not; without a place it was STS."""
        self._last_answer_at = time.monotonic()
        if place is not None:
            self._answered.add(place)

    @contextmanager
    def count_calls(self, place: Place) -> Generator[None, None, None]:
        """Count calls under way."""
        with self._lock:
            self._calling[place] += 1
        try:
            yield
        finally:
            with self._lock:
                self._calling[place] -= 1

    def is_awaited(self, place: Place) -> bool:
        """Return whether enough calls are under way to a region that has not answered yet."""
        return place not in self._answered and self._calling[place] >= FIRST_CALLS_MAX

    def record_error(self, place: Place, account_id: str, error: ScopeError) -> None:
        """Note a failed call: an answer too, unless nobody was there to give one."""
        if error.code not in _NO_ANSWER:
            if error.request_id is not None:
                self.record_answer(place)
            return
        with self._lock:
            self._failed.setdefault(place, set()).add(account_id)
            self._failed_since.setdefault(place, time.monotonic())

    def is_unreachable(self, place: Place) -> bool:
        """Return whether some accounts found nobody there, none an answer, and AWS answered elsewhere meanwhile.

        Without the last, our own network may be away for a while, and patience is right.
        """
        if place in self._answered or len(self._failed.get(place, ())) < ACCOUNTS_MIN:
            return False
        return self._last_answer_at > self._failed_since[place]

    def should_give_up(self, place: Place, error: ScopeError) -> bool:
        """Return whether the error of a call stands, whatever tries are left."""
        return error.code in _NO_ANSWER and self.is_unreachable(place)

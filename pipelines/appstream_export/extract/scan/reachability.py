"""Unreachable regions of a run: after some accounts failed, each further account gets a single short try there.

Until a region answers or counts as unreachable, it gets few calls at once, because each may block a worker for long.
"""

import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from threading import Lock

from appstream_export.error_rules import UNREACHABLE
from appstream_export.errors import ScopeError

ACCOUNTS_MIN = 3  # with this number of failed accounts, the region is the cause, not one connection
FIRST_CALLS_MAX = 2 * ACCOUNTS_MIN  # calls at the same time to a region that has not answered yet
_NO_ANSWER = UNREACHABLE | {"Timeout"}

Place = tuple[str, str]
"""A service and a region."""


class Reachability:
    """Record of the regions that answered and failed, over all accounts and threads of a run."""

    def __init__(self) -> None:
        self._answered: set[Place] = set()
        self._failed: dict[Place, set[str]] = {}
        self._failed_since: dict[Place, float] = {}
        self._last_answer_at = 0.0
        self._calling: Counter[Place] = Counter()
        self._lock = Lock()

    def record_answer(self, place: Place | None = None) -> None:
        """Record that AWS answered, with an error or not. Without a place, the answer was from STS."""
        # Called for every page, so without the lock: each assignment is atomic.
        self._last_answer_at = time.monotonic()
        if place is not None:
            self._answered.add(place)

    @contextmanager
    def count_calls(self, place: Place) -> Generator[None, None, None]:
        """Count a call to the place as running, for the duration of the context."""
        with self._lock:
            self._calling[place] += 1
        try:
            yield
        finally:
            with self._lock:
                self._calling[place] -= 1

    def is_awaited(self, place: Place) -> bool:
        """Return whether enough calls are running to a region that has not answered yet."""
        return place not in self._answered and self._calling[place] >= FIRST_CALLS_MAX

    def record_error(self, place: Place, account_id: str, error: ScopeError, began_at: float) -> None:
        """Record a failed call, which began at that time of `time.monotonic`.

        It counts as an answer if AWS sent one, else as a failed account of the place.
        """
        if error.code not in _NO_ANSWER:
            if error.request_id is not None:
                self.record_answer(place)
            return
        with self._lock:
            self._failed.setdefault(place, set()).add(account_id)
            self._failed_since.setdefault(place, began_at)

    def is_unreachable(self, place: Place) -> bool:
        """Return whether some accounts failed to connect, none got an answer, and AWS answered elsewhere meanwhile.

        Without that last condition, our own network may be down for a while, and retries are right. An answer during
        the first failed call is enough: if all regions are dead, STS answers only while those first calls wait.
        """
        if place in self._answered or len(self._failed.get(place, ())) < ACCOUNTS_MIN:
            return False
        return self._last_answer_at > self._failed_since[place]

    def should_give_up(self, place: Place, error: ScopeError) -> bool:
        """Return whether the error of a call is final, whatever tries are left."""
        return error.code in _NO_ANSWER and self.is_unreachable(place)

"""AWS's clock beside ours: signatures are refused once the two are five minutes apart."""

import time
from collections import deque
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

CLOCK_SKEW_MAX_S = 300
"""What AWS tolerates."""
_SAMPLES_MAX = 100


class Clock:
    """The Date of AWS's answers, and when they came: of the last hundred."""

    def __init__(self) -> None:
        self._samples: deque[tuple[str, float]] = deque(maxlen=_SAMPLES_MAX)

    def record_response(self, parsed: Mapping[str, Any]) -> None:
        """Note an answer, good or bad, as botocore hands it out; cheap enough for every call."""
        date = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date:
            self._samples.append((str(date), time.time()))

    @property
    def skew_s(self) -> float | None:
        """By how many seconds our clock is behind AWS's, negative when ahead; None when no answer was dated."""
        from statistics import median  # it brings fractions and random, and few runs ask

        found = []
        for date, heard_at in list(self._samples):
            try:
                found.append(parsedate_to_datetime(date).timestamp() - heard_at)
            except ValueError:
                continue
        return median(found) if found else None

"""The statuses of tasks: one enum for errors, outcomes and rows of `scope_runs`."""

from enum import StrEnum


class Status(StrEnum):
    """The status of a task; see the table "What each outcome does" in docs/architecture.md."""

    OK = "ok"
    FILTERED = "filtered"
    DENIED = "denied"
    DISABLED = "disabled"
    UNAVAILABLE = "unavailable"
    THROTTLED = "throttled"
    EXPIRED = "expired"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    NETWORK = "network"
    MISMATCHED = "mismatched"
    GUARDED = "guarded"
    CANCELLED = "cancelled"
    ERROR = "error"
    SKIPPED = "skipped"

    @property
    def is_answer(self) -> bool:
        """Whether AWS answered, with the whole scope (`ok`) or with the requested part (`filtered`)."""
        return self in (Status.OK, Status.FILTERED)

    @property
    def is_failure(self) -> bool:
        """Whether the status counts as failed, unless the outcome is expected."""
        return not self.is_answer and self is not Status.SKIPPED

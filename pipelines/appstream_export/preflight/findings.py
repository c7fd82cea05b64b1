"""What the doctor looked at, and what it saw: one value per thing, whether fine or not."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a thing is. Only a problem makes the doctor's answer no."""

    OK = "ok"
    EXPECTED = "expected"
    """Expected: a run does not count it as a failure."""
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing. `scopes` says how many scopes depend on it; `fix` is there unless it is ok, and complete.

    Areas: warehouse, space, labels, prices, endpoints, discovery, regions, settings, clock (of the whole run);
    credentials and role (of an account, with account_id); account (not asked at all), call and region (of a scope,
    with region and resource).
    """

    area: str
    verdict: Verdict = Verdict.OK
    reason: str
    fix: str | None = None
    scopes: int = 0
    account_id: str | None = None
    account_name: str | None = None
    region: str | None = None
    resource: str | None = None
    status: str | None = None
    error_code: str | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        if (self.verdict is Verdict.OK) != (self.fix is None):
            raise ValueError(f"{self.area}: a fix belongs to whatever is not ok, and only there")

    @property
    def place(self) -> str:
        """Where, as users write it; nothing where it is about the whole run."""
        scope = "/".join(part for part in (self.account_id, self.region) if part)
        return f"{scope} ({self.account_name})" if scope and self.account_name else scope

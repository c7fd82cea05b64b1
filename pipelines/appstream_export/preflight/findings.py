"""Findings of the doctor: one value per check, with or without a problem."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The verdict of a finding. Only a problem makes the doctor exit with 1."""

    OK = "ok"
    EXPECTED = "expected"
    """A failure that a run does not count."""
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check. `scopes` is the number of scopes that depend on it; `fix` is None only if it is ok.

    Areas: warehouse, space, labels, prices, platform_support, endpoints, discovery, regions, settings, clock (of the
    whole run); credentials and role (of an account, with account_id); account (skipped), call and region (of a scope,
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
            raise ValueError(f"{self.area}: a finding has a fix if and only if it is not ok")

    @property
    def place(self) -> str:
        """The scope of the finding as users write it; empty if it is about the whole run."""
        scope = "/".join(part for part in (self.account_id, self.region) if part)
        return f"{scope} ({self.account_name})" if scope and self.account_name else scope

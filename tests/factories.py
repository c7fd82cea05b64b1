"""Values for tests: keyword-only, and absent unless named, as at AWS."""

from datetime import UTC, datetime
from typing import Any

from appstream_export.model import Outcome, Page, Scope, Task
from appstream_export.status import Status

SCOPE = Scope("111122223333", "eu-west-1")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
FAILURES = {
    "throttle": "throttled",
    "request_limit": "throttled",
    "deny": "denied",
    "deny_scp": "denied",
    "no_role": "denied",
    "expired": "expired",
    "error500": "error",
    "reset": "network",
    "truncated": "malformed",
    "short_body": "malformed",
    "html": "malformed",
    "empty_body": "malformed",
    "missing_key": "malformed",
    "null_list": "malformed",
    "repeated_token": "malformed",
    "token_cycle": "malformed",
    "endless_empty": "malformed",
    "foreign_arn": "mismatched",
}
"""The status that a scope has after each fault of the emulator that makes it fail."""


def image_builder(
    name: str = "a",
    *,
    subnets: list[Any] | None = None,
    groups: list[Any] | None = None,
    errors: list[Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """One image builder as AWS would send it: only its name, unless more is said. Fields go by AWS's names."""
    vpc = {k: v for k, v in (("SubnetIds", subnets), ("SecurityGroupIds", groups)) if v is not None}
    item: dict[str, Any] = {"Name": name}
    if vpc:
        item["VpcConfig"] = vpc
    if errors is not None:
        item["ImageBuilderErrors"] = errors
    return item | fields


def task(scope: Scope | str = SCOPE, *, resource: str = "image_builders") -> Task:
    """A task in a scope."""
    return Task(resource, Scope.parse(scope) if isinstance(scope, str) else scope)


def page(*items: Any, of: Task | None = None, number: int = 0, at: datetime = NOON) -> Page:
    """A page with these items."""
    return Page(of or task(), number, list(items), at)


def outcome(of: Task | None = None, *, status: Status = Status.OK, at: datetime = NOON, **fields: Any) -> Outcome:
    """An outcome; a failure gets a reason if none is given."""
    reason = fields.pop("reason", None if status is Status.OK else f"it was {status}")
    return Outcome(task=of or task(), status=status, reason=reason, attempted_at=at, finished_at=at, **fields)

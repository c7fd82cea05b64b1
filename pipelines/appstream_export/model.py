"""The values that stages exchange. Frozen, printed as users write them, and parsed back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, NamedTuple, Self

from msgspec import Meta

from appstream_export.status import Status

ACCOUNT_ID = re.compile(r"\d{12}")
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")  # us-east-1, us-gov-west-1, us-iso-east-1, eusc-de-east-1
# Every region so far ends in a direction and a number, which refuses a typing slip such as us-esat-1.
NEW_REGION = re.compile(r"[a-z]+(-[a-z]+)*-(central|(north|south)?(east|west)?)(?<!-)-\d{1,2}")
KNOWN_REGIONS = tuple(
    """us-east-1 us-east-2 us-west-1 us-west-2 ca-central-1 ca-west-1 mx-central-1 sa-east-1 sa-west-1 eu-central-1
    eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1 me-south-1
    me-west-1 af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
    ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7
    cn-north-1 cn-northwest-1 us-gov-east-1 us-gov-west-1 eusc-de-east-1 us-iso-east-1 us-iso-west-1 us-isob-east-1
    us-isob-west-1 eu-isoe-west-1 us-isof-east-1 us-isof-south-1""".split()  # noqa: SIM905
)
"""Regions to suggest for a misspelled name, without botocore, whose list decides; new regions are missing here."""

SHARED_ACCOUNT_ID = "000000000000"  # AWS gives it to no account
"""The account of scopes that belong to no account: what is read once per region, from any of the accounts."""


def _build_pattern_meta(pattern: re.Pattern[str]) -> Meta:
    """Return msgspec constraints for a scope's text; msgspec does not call `__new__`."""
    return Meta(pattern=rf"\A(?:{pattern.pattern})\Z")


class _Pair(NamedTuple):
    account_id: Annotated[str, _build_pattern_meta(ACCOUNT_ID)]
    region: Annotated[str, _build_pattern_meta(REGION)]


class Scope(_Pair):
    """One account in one region: the unit that is requested, retried, carried and reported.

    Scopes and tasks are tuples, because a run of 20,000 compares and hashes them a million times.
    """

    __slots__ = ()

    def __new__(cls, account_id: str, region: str) -> Self:
        """Validate the parts; raises ValueError with the reason."""
        if not ACCOUNT_ID.fullmatch(account_id):
            raise ValueError(f'account id "{account_id}" is not 12 digits')
        if not REGION.fullmatch(region):
            raise ValueError(f'"{region}" is not the name of a region')
        return super().__new__(cls, account_id, region)

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `111122223333/eu-west-1`; raises ValueError with the reason."""
        account_id, _, region = text.partition("/")
        return cls(account_id, region)


class Task(NamedTuple):
    """One resource in one scope; printed as `image_builders@111122223333/eu-west-1`."""

    resource: str
    scope: Scope

    def __str__(self) -> str:
        return f"{self.resource}@{self.scope}"

    def format_place(self, *, with_resource: bool) -> str:
        """Return the scope; with its resource where a message is about several."""
        return str(self if with_resource else self.scope)


@dataclass(frozen=True, slots=True)
class Page:
    """One complete, well-formed AWS answer: its raw items in AWS's order."""

    task: Task
    number: int
    """0-based within the scan; a later page wins where items repeat. Another 0 begins a new scan, and what came
    before is void."""
    items: Sequence[Any]
    observed_at: datetime
    other_members: Mapping[str, Any] = field(default_factory=dict)
    """What the answer holds beside its items and its token, by path, such as `$.Warnings`; no empty values."""
    parent_row: Mapping[str, str] = field(default_factory=dict)
    """For a follow-up call: the columns of its parent's row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """Options of each scope's request: the whole scope, or a part."""

    names: tuple[str, ...] = ()
    page_size: int | None = None
    max_items: int | None = None
    starting_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one task, from which the commit makes a row of `scope_runs`.

    Extraction fills the fields up to `resume_token`; `ingest_pages` then counts `rows`, `duplicates`, `quarantined`
    (all levels) and `quarantined_items` (whole items). `items` and `rows` are 0 if the task failed.
    """

    task: Task
    status: Status
    reason: str | None = None
    error_code: str | None = None
    request_id: str | None = None
    attempted_at: datetime
    finished_at: datetime
    pages: int = 0
    items: int = 0
    api_calls: int = 0
    throttles: int = 0
    retries: int = 0
    resume_token: str | None = None
    rows: int = 0
    duplicates: int = 0
    quarantined: int = 0
    quarantined_items: int = 0
    clock_skew_s: float | None = None
    """Seconds by which our clock is behind AWS's, negative if ahead; None if the answer had no date."""
    cause: Task | None = None
    """The task whose failure ended this one before its first call; None if the task failed by itself."""
    parent_calls: int = 0
    """Calls of the parent task, or of `cause`: they prove that the account's session was open."""

    def __post_init__(self) -> None:
        if (self.status is Status.OK) != (self.reason is None):
            raise ValueError(f"{self.task}: an outcome has a reason if and only if it is not ok")

    @property
    def duration_ms(self) -> int:
        """Milliseconds from the start of the attempt to its end."""
        return round((self.finished_at - self.attempted_at).total_seconds() * 1000)


STAGE_LINES = {
    "discovery": "listing the accounts of the organization",
    "commit": "committing the snapshot",
    "catalog": "publishing the catalog",
    "checks": "running the checks",
    "feeds": "publishing the feeds",
    "report": "writing the report",
}
"""The stages of a run, in their order, with what each does."""


class RunListener:
    """Progress callbacks of a run, called on the run's thread. The base class does nothing."""

    def on_plan(self, tasks: int) -> None:
        """Receive the number of requested tasks, once it is known."""

    def on_page(self, page: Page) -> None:
        """Receive each page."""

    def on_outcome(self, outcome: Outcome) -> None:
        """Receive the outcome of each task."""

    def on_stage(self, name: str) -> None:
        """Receive the name of each stage as the run enters it."""

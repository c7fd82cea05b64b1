"""Scan a task: request its pages one by one, within bounds; restart if needed, and stop at the user's limit."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from botocore.credentials import Credentials

from appstream_export.contracts import CallRules
from appstream_export.errors import ConfigurationError, RetriableScopeError, ScopeError
from appstream_export.extract.aws import ApiCall, Clients, Sessions, find_partition, sanitize_text
from appstream_export.extract.scan.follow_ups import (
    CALLS_PER_S,
    ParentAnswer,
    ParentRow,
    UnreadableRow,
    build_all_gone_error,
    build_call_limit_error,
    is_gone,
    list_targets,
)
from appstream_export.extract.scan.operation import ListOperation
from appstream_export.extract.scan.retry import RetryState
from appstream_export.extract.scan.values import get_nested_value
from appstream_export.json_text import RawItems
from appstream_export.model import Outcome, Page, ScanOptions, Task
from appstream_export.status import Status

PAGES_MAX = 10_000  # of 50 items: far more than any known quota
EMPTY_PAGES_MAX = 50  # AWS may send empty pages with a token, but 50 in a row are a fault
RESTARTS_MAX = 3  # a page token is valid for minutes; a scan that exceeds this is too slow to finish
GAP_MAX_S = 20.0  # the slowest pace after throttles; a retry waits about as long
_RESUME_PREFIX = "aex1."


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """The position where a cut scan resumes: AWS's page token (None: first page), and its number of items to skip."""

    task: str
    token: str | None
    offset: int
    lists_all: bool = False

    def __str__(self) -> str:
        packed = json.dumps([self.task, self.token, self.offset, self.lists_all], separators=(",", ":"))
        return _RESUME_PREFIX + base64.urlsafe_b64encode(packed.encode()).decode()

    @classmethod
    def parse(cls, text: str, task: Task) -> Self:
        """Parse a resume token or an AWS page token; raises ConfigurationError if it is damaged or of another task."""
        if not text.startswith(_RESUME_PREFIX):
            return cls(str(task), text, 0)
        try:
            found = cls(*json.loads(base64.urlsafe_b64decode(text.removeprefix(_RESUME_PREFIX))))
            found.offset + 0
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                "starting token: damaged", fix="copy all of it from resume_token in scope_runs"
            ) from error
        if found.task != str(task):
            raise ConfigurationError(f"starting token: it belongs to {found.task}, not to {task}")
        return found


_FIRST_PAGE = ResumeToken("", None, 0)


def parse_resumed_task(text: str) -> str | None:
    """Return the task of a resume token; None if the token is damaged or AWS's own."""
    try:
        found = (
            json.loads(base64.urlsafe_b64decode(text.removeprefix(_RESUME_PREFIX)))
            if text.startswith(_RESUME_PREFIX)
            else None
        )
    except ValueError:
        return None
    return str(found[0]) if isinstance(found, list) and found else None


class Scan:
    """The scan of one task: one paged call, or one for each row of its parent.

    `fetch_pages` makes one request; between requests a scan holds only its position, the pages of an unfinished
    follow-up call, and the rows that its followers need.
    """

    # 60,000 scans wait at the start of a large run; with a dictionary each, they take 79 MB more.
    __slots__ = (
        "_api_calls", "_clients", "_empty_pages", "_found_by_name", "_gap_s", "_gone", "_held", "_items",
        "_items_taken", "_lists_all", "_next_call_at", "_operation", "_options", "_page_by_token", "_pages", "_parent",
        "_problem", "_restarts", "_resume", "_retries", "_rows", "_sessions", "_skip", "_start", "_target", "_targets",
        "_throttles", "_token", "account_id", "attempted_at", "due_at", "followers", "is_brief", "is_done", "place",
        "retry_state", "task",
    )  # fmt: skip

    def __init__(
        self,
        task: Task,
        operation: ListOperation,
        options: ScanOptions,
        clients: Clients,
        sessions: Sessions,
        max_attempts: int,
        account_id: str | None = None,
    ) -> None:
        self.task, self.is_done = task, False
        self.account_id = account_id or task.scope.account_id
        """The account whose session signs the calls."""
        self.followers: list[Scan] = []
        """Scans that start once this one has answered."""
        self.retry_state = RetryState(max_attempts)
        self.attempted_at: datetime | None = None
        self.due_at: float | None = None
        """The deadline on the monotonic clock; None before the first call."""
        self.is_brief = False
        """Whether the next call is one short try, because the region is unreachable so far."""
        self.place = (operation.service, task.scope.region)
        self._operation, self._options, self._clients, self._sessions = operation, options, clients, sessions
        self._start = ResumeToken.parse(options.starting_token, task) if options.starting_token else _FIRST_PAGE
        self._lists_all = self._start.lists_all or not operation.takes_names
        self._api_calls = self._throttles = self._retries = self._restarts = 0
        self._resume: ResumeToken | None = None
        self._parent: ParentAnswer | None = None
        self._targets: list[Mapping[str, str]] = [{}]
        self._gap_s, self._next_call_at = _compute_gap_s(operation.rules), 0.0
        self._reset_position()

    @property
    def parent_task(self) -> Task | None:
        """The task whose answer must come first, or None."""
        parent = self._operation.rules.parent
        return Task(parent, self.task.scope) if parent else None

    @property
    def parent_columns(self) -> frozenset[str]:
        """The columns of the parent that the calls need."""
        return self._operation.parent_columns

    @property
    def is_follow_up(self) -> bool:
        """Whether the scan makes one call for each row of its parent."""
        return self._operation.rules.per is not None

    def start_follow_up(self, answer: ParentAnswer) -> None:
        """Take over the parent's rows, which decide the calls to make; raises ScopeError if they are too many."""
        rules = self._operation.rules
        self._parent = answer
        if answer.problem and rules.per:
            raise ScopeError(Status.MALFORMED, f"{answer.task.resource}: {answer.problem}", code="Malformed")
        self._targets = list_targets(rules, self._operation.parent_columns, answer)
        if rules.max_calls is not None and len(self._targets) > rules.max_calls:
            raise build_call_limit_error(self._operation.operation, len(self._targets), rules.max_calls)
        self.is_done = not self._targets

    def build_answer(self) -> ParentAnswer:
        """Return the rows of a finished scan for its followers."""
        return ParentAnswer(
            self.task, self._rows, self._describe_partial_result(), self._problem, self._api_calls or self._parent_calls
        )

    @property
    def _parent_calls(self) -> int:
        return self._parent.calls if self._parent else 0

    def compute_wait_s(self) -> float:
        """Return the seconds until the next call may be made, by [limits] max_calls_per_s."""
        return max(0.0, self._next_call_at - time.monotonic()) if self._gap_s else 0.0

    def fetch_pages(self) -> list[Page]:
        """Make one call and return the pages that are complete by it.

        There are none if the scan restarts (unknown name, expired page token), or if the follow-up call has further
        pages: the rows of an item count only if all its pages arrived. Raises ScopeError.
        """
        self.attempted_at = self.attempted_at or datetime.now(UTC)
        self._check_call_limit()
        # For each page, because a role's session may expire during a long scan.
        used = self._sessions.get_credentials(self.account_id)
        operation = self._operation
        read = operation.read_raw_page if self._needs_all_items else operation.read_page
        call = ApiCall(
            used,
            tries_max=1 if self.is_brief else self.retry_state.tries_left,
            is_brief=self.is_brief,
            read=read,
            convert_parsed=operation.convert_parsed_page,
            check_raw_answer=operation.check_raw_answer,
        )
        try:
            root = self._send_request(call)
            token = operation.get_next_token(root)
            return self._accept_page(operation.get_items(root), token, operation.list_other_members(root))
        except ScopeError as error:
            self._handle_error(error, used)
            return []

    def build_outcome(self, error: ScopeError | None = None, *, cause: Outcome | None = None) -> Outcome:
        """Return the task's outcome: that of `error`, else of the pages that were read.

        `cause` is the outcome of the task whose failure ended this one before its first call.
        """
        now = datetime.now(UTC)
        partial = None if error else self._describe_partial_result()
        done = Status.FILTERED if partial else Status.OK
        return Outcome(
            task=self.task,
            status=error.status if error else done,
            reason=error.reason if error else partial,
            error_code=error.code if error else None,
            request_id=error.request_id if error else None,
            attempted_at=self.attempted_at or now,
            finished_at=now,
            pages=self._pages,
            items=0 if error else self._items,
            api_calls=self._api_calls,
            throttles=self._throttles,
            retries=self._retries,
            resume_token=str(self._resume) if self._resume and not error else None,
            clock_skew_s=self._clients.clock.newest_skew_s,
            cause=(cause.cause or cause.task) if cause else None,
            parent_calls=(cause.api_calls or cause.parent_calls) if cause else self._parent_calls,
        )

    def _check_call_limit(self) -> None:
        rules = self._operation.rules
        if rules.max_calls is not None and self._api_calls >= rules.max_calls:
            raise build_call_limit_error(self._operation.operation, self._api_calls + 1, rules.max_calls)

    def _reset_position(self) -> None:
        """Return to the start of the scan. Earlier pages do not count, since items may have moved between pages."""
        self._pages = self._items = self._target = self._items_taken = self._gone = 0
        self._rows: list[ParentRow] = []
        self._problem: str | None = None
        self._found_by_name = dict.fromkeys(self._options.names, False)
        self._start_target(self._start)

    def _start_target(self, at: ResumeToken = _FIRST_PAGE) -> None:
        """Begin the calls for one row of the parent, or the only one."""
        self._held: list[Page] = []
        self._token, self._skip, self._empty_pages = at.token, at.offset, 0
        self._page_by_token: dict[str, int] = {self._token: 0} if self._token is not None else {}

    def _end_target(self) -> None:
        self._target += 1
        self._restarts = 0
        self.is_done = self._target >= len(self._targets) or self._resume is not None
        self._start_target()

    def _send_request(self, call: ApiCall) -> dict[str, Any]:
        names = () if self._lists_all else self._options.names
        params = self._operation.build_params(
            token=self._token,
            page_size=self._options.page_size,
            names=names,
            parent_row=self._targets[self._target],
        )
        again = self.retry_state.tries > 0  # then all tries of this call are retries, else all but the first
        try:
            operation = self._operation
            return self._clients.call_operation(
                operation.service, self.task.scope.region, operation.operation, params, call
            )
        finally:
            self.retry_state.tries += call.tries
            self._api_calls += call.tries
            self._throttles += call.throttles
            self._set_pace(call.throttles > 0)
            self._retries += call.tries if again else max(0, call.tries - 1)

    def _set_pace(self, is_throttled: bool) -> None:
        # A throttle shows that the pace is too fast for this scope, so the rest of the scan is slower.
        self._gap_s = min(2 * self._gap_s, GAP_MAX_S) if is_throttled else self._gap_s
        self._next_call_at = time.monotonic() + self._gap_s

    def _handle_error(self, error: ScopeError, used: Credentials) -> None:
        """Change the way names are requested, restart the scan, or renew the session and raise the error."""
        if error.code == "ResourceNotFoundException" and self._found_by_name and not self._lists_all:
            # AWS refuses a request of several names if one of them is unknown, so list all and filter here.
            self._lists_all = True
            self._restart_scan()
        elif self.is_follow_up and is_gone(error):
            self._skip_gone_target()
        elif self._is_token_refused(error):
            self._restarts += 1
            self._restart_scan()
        else:
            # Renewed once: if AWS refuses the new credentials as well, a third session would not help.
            if (
                error.status is Status.EXPIRED
                and isinstance(error, RetriableScopeError)
                and not self.retry_state.failures[Status.EXPIRED]
            ):
                self._sessions.renew_session(self.task.scope.account_id, used)
            raise self._sessions.explain_refusal(self.task.scope, error)

    def _skip_gone_target(self) -> None:
        """Go on with the next row of the parent; raises ScopeError if AWS does not know any of the rows."""
        self._gone += 1
        if self._gone == len(self._targets) and self.parent_task:
            raise build_all_gone_error(self._operation.operation, self.parent_task, self._gone)
        self.retry_state = RetryState(self.retry_state.max_attempts)
        self._end_target()

    def _is_token_refused(self, error: ScopeError) -> bool:
        # If AWS refuses the token at which the scan starts, a restart would only send it again.
        is_ours = self._token is not None and self._token != self._start.token and self._restarts < RESTARTS_MAX
        return is_ours and is_page_token_error(error)

    def _restart_scan(self) -> None:
        self.retry_state = RetryState(self.retry_state.max_attempts)
        if self.is_follow_up:
            self._start_target()  # earlier items are complete, and no page of this one has left the scan
        else:
            self._reset_position()

    def _accept_page(self, items: Sequence[Any], token: str | None, other_members: dict[str, Any]) -> list[Page]:
        self._check_bounds(items, token)
        # Before the page counts: rows of another account must never be written under this one.
        check_arns(items, self._operation, self.task)
        selected, row = self._select_items(items, token), self._targets[self._target]
        number = self._pages + len(self._held)
        self._held.append(Page(self.task, number, selected, datetime.now(UTC), other_members, row))
        self._items_taken += len(selected)
        self._skip = max(0, self._skip - len(items))
        self._token = token
        self.retry_state = RetryState(self.retry_state.max_attempts)  # tries are counted for each page
        if self.is_follow_up and token is not None:
            return []
        released = self._release_pages()
        if token is None or self._resume is not None:
            self._end_target()
        return released

    def _release_pages(self) -> list[Page]:
        released, self._held = self._held, []
        self._pages += len(released)
        self._items += sum(len(page.items) for page in released)
        for page in released if self.followers else ():
            self._collect_rows(page)
        return released

    def _collect_rows(self, page: Page) -> None:
        reader = self._operation.row_reader
        names = frozenset().union(*(follower.parent_columns for follower in self.followers))
        try:
            self._rows += [reader.read_row(item, page.parent_row, names) for item in page.items] if reader else []
        except UnreadableRow as error:
            self._problem = self._problem or str(error)

    def _check_bounds(self, items: Sequence[Any], token: str | None) -> None:
        self._empty_pages = 0 if items else self._empty_pages + 1
        # All tokens are remembered, since a loop may lead through several pages.
        if token is not None and token in self._page_by_token:
            self._raise_page_loop(f"page loop: AWS returned the token of page {self._page_by_token[token] + 1} again")
        if token is not None and self._empty_pages >= EMPTY_PAGES_MAX:
            self._raise_page_loop(f"{EMPTY_PAGES_MAX} empty pages in a row, and a token for another page")
        if token is not None and len(self._page_by_token) + 1 >= PAGES_MAX:
            self._raise_page_loop(f"{PAGES_MAX} pages, and a token for another page")
        if token is not None:
            self._page_by_token[token] = self._pages + len(self._held) + 1

    def _raise_page_loop(self, why: str) -> None:
        operation = self._operation.operation
        raise ScopeError(Status.MALFORMED, f"{operation}: {why} (page {self._pages + 1})", code="PageLoop")

    @property
    def _needs_all_items(self) -> bool:
        """Whether all items of the next page are wanted."""
        return not self._found_by_name and self._options.max_items is None and not self._skip

    def _select_items(self, items: Sequence[Any], token: str | None) -> Sequence[Any]:
        """Return the wanted items, up to max_items, and set the resume token of a scan that is cut."""
        if self._needs_all_items:
            return items
        if not self._found_by_name and self._options.max_items is None:
            return items[self._skip :]
        places = [n for n in range(self._skip, len(items)) if self._is_wanted(items[n])]
        room = len(places) if self._options.max_items is None else self._options.max_items - self._items_taken
        if len(places) > room:
            # This page has further wanted items: resume at the same page, and skip those that were taken.
            self._resume = ResumeToken(str(self.task), self._token, places[room], self._lists_all)
        elif len(places) == room and token is not None and self._options.max_items is not None:
            self._resume = ResumeToken(str(self.task), token, 0, self._lists_all)
        return [items[n] for n in places[:room]]

    def _is_wanted(self, item: object) -> bool:
        if not self._found_by_name:
            return True
        name = get_nested_value(item, self._operation.key)
        if not isinstance(name, str) or name not in self._found_by_name:
            return not self._lists_all  # AWS applied the filter: retain its items, even without a name
        self._found_by_name[name] = True
        return True

    def _describe_partial_result(self) -> str | None:
        """Return why the result is not the whole scope, or None if it is."""
        why = [self._parent.partial_reason] if self._parent and self._parent.partial_reason else []
        if self._found_by_name:
            why.append(f"only the names {', '.join(self._options.names)} were requested")
            if self._resume is None and (missing := [name for name, found in self._found_by_name.items() if not found]):
                why.append(f"not found: {', '.join(missing)}")
        if self._options.starting_token:
            why.append("started at a token, not at the first item")
        if self._resume is not None:
            why.append(f"cut after {self._items_taken} items; the next run starts at resume_token")
        return sanitize_text("; ".join(why)) if why else None


def _compute_gap_s(rules: CallRules) -> float:
    """Return the seconds between two calls of a scan; 0 without a limit."""
    rate = rules.max_calls_per_s or (CALLS_PER_S if rules.per else None)
    return 1 / rate if rate else 0.0


def is_page_token_error(error: ScopeError) -> bool:
    """Return whether AWS refuses the page token, for which services have different codes. Credentials do not count."""
    code, text = error.code or "", error.reason.lower()
    if error.status not in (Status.ERROR, Status.MALFORMED):
        return False
    named = "Token" in code and ("Invalid" in code or "Expired" in code)
    return named or ("token" in text and ("Validation" in code or "InvalidParameter" in code))


def check_arns(items: Sequence[Any], operation: ListOperation, task: Task) -> None:
    """Raise ScopeError (mismatched) if an item is of another account, region or partition than the task."""
    if operation.arn is None:
        return
    is_owned = operation.rules.owned
    scope = task.scope
    prefix = f"arn:{find_partition(scope.region)}:{operation.service}:{scope.region}:{scope.account_id}:"
    if is_owned and isinstance(items, RawItems) and items.has_arn_prefix(prefix):
        return
    for item in items:
        arn = get_nested_value(item, operation.arn)
        if isinstance(arn, str) and not arn.startswith(prefix) and _is_foreign(arn, prefix, is_owned=is_owned):
            raise ScopeError(
                Status.MISMATCHED,
                sanitize_text(f"an item's Arn {arn} is not of {scope}; its rows are discarded"),
            )


def _is_foreign(arn: str, prefix: str, *, is_owned: bool) -> bool:
    """Return whether an Arn has another account, region or partition. Text that is not an Arn is only a bad value.

    Items that the account does not own may be of another account.
    """
    theirs, own = arn.split(":", 5), prefix.split(":", 5)
    return (
        len(theirs) == 6
        and theirs[0] == "arn"
        and any(theirs[n] not in ("", own[n]) for n in ((1, 3, 4) if is_owned else (1, 3)))
    )

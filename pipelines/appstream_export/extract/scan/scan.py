"""One scan: the pages of one task, asked one by one, bounded, restartable, and cut where the user wants."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from botocore.credentials import Credentials

from appstream_export.errors import Retriable, ScopeError, SetupError
from appstream_export.extract.aws.clients import Call, Clients
from appstream_export.extract.aws.credentials import Sessions
from appstream_export.extract.aws.errors import one_line
from appstream_export.extract.aws.regions import partition_of
from appstream_export.extract.scan.operation import Listing, dig
from appstream_export.extract.scan.retry import Patience
from appstream_export.model import Ask, Outcome, Page, Status, Task
from appstream_export.normalize.json_pages import RawItems

PAGES_MAX = 10_000  # 10,000 pages of 50 is far beyond the largest quota we know of
EMPTY_PAGES_MAX = 50  # AWS may send empty pages with a token; 50 in a row are a fault
RESTARTS_MAX = 3  # a page token lives for minutes; a scan that outlives three is too slow to end
_RESUME = "aex1."


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a cut scan goes on: AWS's token of a page (None: the first) and how many of its items were taken."""

    task: str
    token: str | None
    offset: int
    lists_all: bool = False

    def __str__(self) -> str:
        packed = json.dumps([self.task, self.token, self.offset, self.lists_all], separators=(",", ":"))
        return _RESUME + base64.urlsafe_b64encode(packed.encode()).decode()

    @classmethod
    def parse(cls, text: str, task: Task) -> Self:
        """Read our own token; any other text is AWS's. Raises SetupError for a damaged one or another task's."""
        if not text.startswith(_RESUME):
            return cls(str(task), text, 0)
        try:
            found = cls(*json.loads(base64.urlsafe_b64decode(text.removeprefix(_RESUME))))
            found.offset + 0
        except (ValueError, TypeError) as error:
            raise SetupError("starting token: damaged; copy it whole, as resume_token in scope_runs has it") from error
        if found.task != str(task):
            raise SetupError(f"starting token: it belongs to {found.task}, not to {task}")
        return found


_FIRST_PAGE = Resume("", None, 0)


def resumed_task(text: str) -> str | None:
    """The task that a starting token of our own goes on with; None where the token is AWS's, or damaged."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text.removeprefix(_RESUME))) if text.startswith(_RESUME) else None
    except ValueError:
        return None
    return str(found[0]) if isinstance(found, list) and found else None


class Scan:
    """One task being asked. `step` makes one call; between steps a scan holds nothing but where it stands."""

    def __init__(
        self, task: Task, listing: Listing, ask: Ask, clients: Clients, sessions: Sessions, max_attempts: int
    ) -> None:
        self.task, self.is_done = task, False
        self.patience = Patience(max_attempts)
        self.attempted_at: datetime | None = None
        self.due_at: float | None = None
        """When it must be through, on the monotonic clock; None before its first call."""
        self._listing, self._ask, self._clients, self._sessions = listing, ask, clients, sessions
        self._start = Resume.parse(ask.starting_token, task) if ask.starting_token else _FIRST_PAGE
        self._lists_all = self._start.lists_all or not listing.takes_names
        self._api_calls = self._throttles = self._retries = self._restarts = 0
        self._resume: Resume | None = None
        self._rewind()

    def step(self) -> Page | None:
        """Ask once: a page, or None when the scan goes on otherwise (unknown name, old token); raises ScopeError."""
        self.attempted_at = self.attempted_at or datetime.now(UTC)
        used = self._sessions.credentials(self.task.scope.account_id)
        listing = self._listing
        read = listing.read_whole if self._takes_all else listing.read
        call = Call(used, tries_max=self.patience.tries_left, read=read, accept=listing.accept)
        try:
            root = self._call(call)
            token = listing.token_of(root)
            return self._take(listing.items_of(root), token)
        except ScopeError as error:
            return self._turn(error, used)

    def outcome(self, error: ScopeError | None = None) -> Outcome:
        """How the task ended: with `error`, or else with what was seen."""
        now = datetime.now(UTC)
        partial = None if error else self._partial()
        done = Status.FILTERED if partial else Status.OK
        return Outcome(
            task=self.task,
            status=Status(error.status) if error else done,
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
        )

    def _rewind(self) -> None:
        """Nothing of an earlier scan counts: AWS may have lost items since, and others twice."""
        self._pages = self._items = 0
        self._wanted = dict.fromkeys(self._ask.names, False)  # whether it was found
        self._token, self._skip, self._kept, self._empty = self._start.token, self._start.offset, 0, 0
        self._seen: dict[str, int] = {self._token: 0} if self._token is not None else {}

    def _call(self, call: Call) -> dict[str, Any]:
        names = () if self._lists_all else self._ask.names
        params = self._listing.params(token=self._token, page_size=self._ask.page_size, names=names)
        again = self.patience.tries > 0
        try:
            listing = self._listing
            return self._clients.ask(listing.service, self.task.scope.region, listing.operation, params, call)
        finally:
            self.patience.tries += call.tries
            self._api_calls += call.tries
            self._throttles += call.throttles
            self._retries += call.tries if again else max(0, call.tries - 1)

    def _turn(self, error: ScopeError, used: Credentials) -> None:
        """What a refusal changes: the way names are asked, the page to start from, the session; else it stands."""
        if error.code == "ResourceNotFoundException" and self._wanted and not self._lists_all:
            self._lists_all = True
            self._start_over()
        elif self._is_token_refused(error):
            self._restarts += 1
            self._start_over()
        else:
            if error.status == "expired" and isinstance(error, Retriable) and not self.patience.failures["expired"]:
                self._sessions.renew(self.task.scope.account_id, used)
            raise error

    def _is_token_refused(self, error: ScopeError) -> bool:
        is_ours = self._token is not None and self._token != self._start.token and self._restarts < RESTARTS_MAX
        return is_ours and speaks_of_page_token(error)

    def _start_over(self) -> None:
        self.patience = Patience(self.patience.max_attempts)
        self._rewind()

    def _take(self, items: Sequence[Any], token: str | None) -> Page:
        self._check_bounds(items, token)
        check_arns(items, self._listing, self.task)
        kept = self._choose(items, token)
        page = Page(self.task, self._pages, kept, datetime.now(UTC))
        self._pages += 1
        self._items += len(kept)
        self._kept += len(kept)
        self._skip = max(0, self._skip - len(items))
        self._token = token
        self.is_done = token is None or self._resume is not None
        self.patience = Patience(self.patience.max_attempts)
        return page

    def _check_bounds(self, items: Sequence[Any], token: str | None) -> None:
        self._empty = 0 if items else self._empty + 1
        if token is not None and token in self._seen:
            self._stop_asking(f"page loop: AWS gave the token of page {self._seen[token] + 1} for the second time")
        if token is not None and self._empty >= EMPTY_PAGES_MAX:
            self._stop_asking(f"{EMPTY_PAGES_MAX} empty pages in a row, and a token for one more")
        if token is not None and self._pages + 1 >= PAGES_MAX:
            self._stop_asking(f"{PAGES_MAX} pages, and a token for one more")
        if token is not None:
            self._seen[token] = self._pages + 1

    def _stop_asking(self, why: str) -> None:
        operation = self._listing.operation
        raise ScopeError("malformed", f"{operation}: {why} (page {self._pages + 1})", code="PageLoop")

    @property
    def _takes_all(self) -> bool:
        """Whatever the next page holds."""
        return not self._wanted and self._ask.max_items is None and not self._skip

    def _choose(self, items: Sequence[Any], token: str | None) -> Sequence[Any]:
        """The items that are wanted, up to max_items; remembers where a cut scan goes on."""
        if self._takes_all:
            return items
        if not self._wanted and self._ask.max_items is None:
            return items[self._skip :]
        places = [n for n in range(self._skip, len(items)) if self._is_wanted(items[n])]
        room = len(places) if self._ask.max_items is None else self._ask.max_items - self._kept
        if len(places) > room:
            self._resume = Resume(str(self.task), self._token, places[room], self._lists_all)
        elif len(places) == room and token is not None and self._ask.max_items is not None:
            self._resume = Resume(str(self.task), token, 0, self._lists_all)
        return [items[n] for n in places[:room]]

    def _is_wanted(self, item: object) -> bool:
        if not self._wanted:
            return True
        name = dig(item, self._listing.key)
        if not isinstance(name, str) or name not in self._wanted:
            return not self._lists_all  # AWS chose; what it sent is kept, even without a name
        self._wanted[name] = True
        return True

    def _partial(self) -> str | None:
        """Why the answer is not the whole scope; None when it is."""
        why = []
        if self._wanted:
            why.append(f"only names {', '.join(self._ask.names)} were asked for")
            if self._resume is None and (missing := [name for name, found in self._wanted.items() if not found]):
                why.append(f"not found: {', '.join(missing)}")
        if self._ask.starting_token:
            why.append("started at a token, not at the first item")
        if self._resume is not None:
            why.append(f"cut after {self._kept} items; the next run starts at resume_token")
        return one_line("; ".join(why)) or None


def speaks_of_page_token(error: ScopeError) -> bool:
    """Whether AWS refuses the page token: services have different codes for it, credentials' codes aside."""
    code, text = error.code or "", error.reason.lower()
    if error.status not in ("error", "malformed"):
        return False
    named = "Token" in code and ("Invalid" in code or "Expired" in code)
    return named or ("token" in text and ("Validation" in code or "InvalidParameter" in code))


def check_arns(items: Sequence[Any], listing: Listing, task: Task) -> None:
    """Refuse a page with an item of another account, region or partition: the session is not what it seems."""
    if listing.arn is None:
        return
    scope = task.scope
    ours = f"arn:{partition_of(scope.region)}:{listing.service}:{scope.region}:{scope.account_id}:"
    if isinstance(items, RawItems) and items.all_of(ours):
        return
    for item in items:
        arn = dig(item, listing.arn)
        if isinstance(arn, str) and not arn.startswith(ours) and _is_foreign(arn, ours):
            raise ScopeError("mismatched", one_line(f"an item's Arn {arn} is not of {scope}; its rows are refused"))


def _is_foreign(arn: str, ours: str) -> bool:
    """Account, region or partition is given and another; text that is no Arn is a bad value, not a foreign item."""
    theirs, own = arn.split(":", 5), ours.split(":", 5)
    return len(theirs) == 6 and theirs[0] == "arn" and any(theirs[n] not in ("", own[n]) for n in (1, 3, 4))

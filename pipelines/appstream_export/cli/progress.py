"""Progress of a run on stderr: a live line on a terminal, else a few plain lines."""

import logging
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from appstream_export.cli import console
from appstream_export.cli.log import PROGRESS_LOGGER, ROOT_LOGGER, is_json_log, log_event
from appstream_export.cli.pluralize import format_count
from appstream_export.model import STAGE_LINES, Outcome, Page, RunListener

if TYPE_CHECKING:
    from rich.progress import Progress

FAILURES_MAX = 10
"""Maximum number of failures named during a run; its summary names or groups all of them."""
_LINES_MAX = 10


@contextmanager
def show_run_progress(*, is_quiet: bool = False, with_resource: bool = False) -> Generator[RunListener]:
    """Show the progress of a run on stderr; yield the listener for it.

    `is_quiet` shows only the live line of a terminal. `with_resource` adds the resource to each failure.
    """
    if not logging.getLogger(PROGRESS_LOGGER).isEnabledFor(logging.INFO):
        yield RunListener()
    elif console.is_terminal(sys.stderr) and not is_json_log():
        with _build_progress_bar() as bar:
            yield _LiveListener(bar, is_quiet=is_quiet, with_resource=with_resource)
    else:
        yield RunListener() if is_quiet else _LineListener(with_resource=with_resource)


@contextmanager
def show_progress_bar(what: str) -> Generator[Callable[[int, int], None]]:
    """Show a bar if stderr is a terminal; yield a callback that takes the count done and the total."""
    is_shown = logging.getLogger(PROGRESS_LOGGER).isEnabledFor(logging.INFO) and not is_json_log()
    if not console.is_terminal(sys.stderr) or not is_shown:
        yield lambda _done, _of: None
        return
    with _build_progress_bar() as bar:
        line = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(line, completed=done, total=of, description=f"{what} {done:,}/{of:,}")


class _CountingListener(RunListener):
    """Listener that counts tasks, items and failures."""

    def __init__(self, *, with_resource: bool) -> None:
        self.tasks = self.done = self.items = self.failed = self.follow_ups = 0
        self._with_resource = with_resource

    def on_plan(self, tasks: int) -> None:
        """Set the number of tasks that the run requests."""
        self.tasks = tasks

    def on_page(self, page: Page) -> None:
        """Add the items of a page, and the call if it followed from a row of another resource."""
        self.items += len(page.items)
        self.follow_ups += bool(page.parent_row)

    def on_outcome(self, outcome: Outcome) -> None:
        """Count a task that has ended."""
        self.done += 1
        self.failed += outcome.status.is_failure

    def format_progress(self) -> str:
        """Return such as `12/56 scopes, 60 items, 2 not answered`; some of the unanswered may be expected."""
        calls = f", {format_count(self.follow_ups, 'follow-up call')}" if self.follow_ups else ""
        failed = f", {self.failed} not answered" if self.failed else ""
        return f"{self.done}/{self.tasks} scopes, {self.items:,} items{calls}{failed}"

    def format_outcome(self, outcome: Outcome) -> str:
        """Return the line of a task: the reason of a failure, or the figures of an answer."""
        place = outcome.task.format_place(with_resource=self._with_resource)
        figures = f"{outcome.items:,} items, {format_count(outcome.api_calls, 'call')}, {outcome.duration_ms:,} ms"
        return console.strip_control_characters(f"{outcome.status} {place}: {outcome.reason or figures}")


class _LineListener(_CountingListener):
    """Listener for logs and pipes: about ten lines of progress per run; with --verbose, also a line per task."""

    def __init__(self, *, with_resource: bool) -> None:
        super().__init__(with_resource=with_resource)
        self._is_verbose = logging.getLogger(ROOT_LOGGER).isEnabledFor(logging.INFO)

    def on_plan(self, tasks: int) -> None:
        super().on_plan(tasks)
        log_event(logging.INFO, f"requesting {format_count(tasks, 'scope')}", {"tasks": tasks})

    def on_outcome(self, outcome: Outcome) -> None:
        super().on_outcome(outcome)
        if self._is_verbose or (outcome.status.is_failure and self.failed <= FAILURES_MAX):
            level = logging.WARNING if outcome.status.is_failure else logging.INFO
            log_event(level, self.format_outcome(outcome), _list_fields(outcome))
        if self._is_progress_due() or self.done == self.tasks:
            fields = {"tasks": self.tasks, "done": self.done, "items": self.items, "not_answered": self.failed}
            log_event(logging.INFO, self.format_progress(), fields)

    def on_stage(self, name: str) -> None:
        log_event(logging.INFO, STAGE_LINES.get(name, name), {"stage": name})

    def _is_progress_due(self) -> bool:
        # A line is due each time that another tenth of the tasks is done.
        tenths, before = (n * _LINES_MAX // self.tasks for n in (self.done, self.done - 1))
        return self.tasks > _LINES_MAX and tenths > before


class _LiveListener(_CountingListener):
    """Listener for a terminal: one live line, with failures above it."""

    def __init__(self, bar: "Progress", *, is_quiet: bool, with_resource: bool) -> None:
        super().__init__(with_resource=with_resource)
        self._bar, self._is_quiet = bar, is_quiet
        self._line = bar.add_task("requesting", total=None)

    def on_plan(self, tasks: int) -> None:
        super().on_plan(tasks)
        self._bar.update(self._line, total=tasks, description=self.format_progress())

    def on_page(self, page: Page) -> None:
        super().on_page(page)
        self._bar.update(self._line, description=self.format_progress())

    def on_outcome(self, outcome: Outcome) -> None:
        super().on_outcome(outcome)
        self._bar.update(self._line, completed=self.done, description=self.format_progress())
        if outcome.status.is_failure and self.failed <= FAILURES_MAX and not self._is_quiet:
            self._bar.console.print(self.format_outcome(outcome), style="yellow", markup=False, highlight=False)

    def on_stage(self, name: str) -> None:
        self._bar.update(self._line, description=f"{self.format_progress()}, {STAGE_LINES.get(name, name)}")


def _list_fields(outcome: Outcome) -> dict[str, object]:
    """Return the fields of a task's line in a JSON log."""
    task = outcome.task
    return {
        "resource": task.resource,
        "account_id": task.scope.account_id,
        "region": task.scope.region,
        "status": str(outcome.status),
        "error_code": outcome.error_code,
        "request_id": outcome.request_id,
        "items": outcome.items,
        "calls": outcome.api_calls,
        "milliseconds": outcome.duration_ms,
    }


def _build_progress_bar() -> "Progress":
    """Build a bar that rich draws after the description of its task, and removes at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    parts = (SpinnerColumn(), text, BarColumn(bar_width=20), TimeElapsedColumn())
    stream = cast("IO[str]", console.LogStream())
    return Progress(*parts, console=Console(file=stream), transient=True)

"""A run as it goes, on stderr: a live line on a terminal, else a few plain lines."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from appstream_export.cli import console
from appstream_export.cli.pluralize import format_count
from appstream_export.model import Outcome, Page, RunListener

if TYPE_CHECKING:
    from rich.progress import Progress

FAILURES_MAX = 10
"""Failures named while the run goes; the end of the run names them all, or groups them."""
_LINES_MAX = 10


@contextmanager
def show_run_progress(*, is_quiet: bool = False, with_resource: bool = False) -> Generator[RunListener]:
    """Show a run on stderr; `is_quiet` leaves only the line that a terminal shows and removes.

    `with_resource` names the resource of each failure.
    """
    if console.is_terminal(sys.stderr):
        with _build_progress_bar() as bar:
            yield _LiveListener(bar, is_quiet=is_quiet, with_resource=with_resource)
    else:
        yield RunListener() if is_quiet else _LineListener(with_resource=with_resource)


@contextmanager
def show_progress_bar(what: str) -> Generator[Callable[[int, int], None]]:
    """Show a bar on a terminal's stderr, nothing elsewhere; yields a callback for how many of how many are done."""
    if not console.is_terminal(sys.stderr):
        yield lambda _done, _of: None
        return
    with _build_progress_bar() as bar:
        line = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(line, completed=done, total=of, description=f"{what} {done:,}/{of:,}")


class _CountingListener(RunListener):
    """Counts what comes."""

    def __init__(self, *, with_resource: bool) -> None:
        self.tasks = self.done = self.items = self.failed = 0
        self._with_resource = with_resource

    def on_plan(self, tasks: int) -> None:
        """So many tasks will be asked."""
        self.tasks = tasks

    def on_page(self, page: Page) -> None:
        """A page came."""
        self.items += len(page.items)

    def on_outcome(self, outcome: Outcome) -> None:
        """A task ended."""
        self.done += 1
        self.failed += outcome.status.is_failure

    def format_progress(self) -> str:
        """Such as `12/56 scopes, 60 items, 2 not answered`: whether that is a failure, the end of the run tells."""
        failed = f", {self.failed} not answered" if self.failed else ""
        return f"{self.done}/{self.tasks} scopes, {self.items:,} items{failed}"

    def format_failure(self, outcome: Outcome) -> str | None:
        """The line that names a failure, as long as there are few."""
        if not outcome.status.is_failure or self.failed > FAILURES_MAX:
            return None
        place = outcome.task.format_place(with_resource=self._with_resource)
        return console.strip_control_characters(f"{outcome.status} {place}: {outcome.reason}")


class _LineListener(_CountingListener):
    """For logs and pipes: about ten lines on the way."""

    def on_plan(self, tasks: int) -> None:
        super().on_plan(tasks)
        console.log_line(f"asking {format_count(tasks, 'scope')}")

    def on_outcome(self, outcome: Outcome) -> None:
        super().on_outcome(outcome)
        if line := self.format_failure(outcome):
            console.log_line(line)
        if self._is_progress_due() or self.done == self.tasks:
            console.log_line(self.format_progress())

    def on_stage(self, name: str) -> None:
        console.log_line(name)

    def _is_progress_due(self) -> bool:
        tenths, before = (n * _LINES_MAX // self.tasks for n in (self.done, self.done - 1))
        return self.tasks > _LINES_MAX and tenths > before


class _LiveListener(_CountingListener):
    """For people: one line that moves, failures above it."""

    def __init__(self, bar: "Progress", *, is_quiet: bool, with_resource: bool) -> None:
        super().__init__(with_resource=with_resource)
        self._bar, self._is_quiet = bar, is_quiet
        self._line = bar.add_task("asking", total=None)

    def on_plan(self, tasks: int) -> None:
        super().on_plan(tasks)
        self._bar.update(self._line, total=tasks, description=self.format_progress())

    def on_page(self, page: Page) -> None:
        super().on_page(page)
        self._bar.update(self._line, description=self.format_progress())

    def on_outcome(self, outcome: Outcome) -> None:
        super().on_outcome(outcome)
        self._bar.update(self._line, completed=self.done, description=self.format_progress())
        line = self.format_failure(outcome)
        if line and not self._is_quiet:
            self._bar.console.print(line, style="yellow", markup=False, highlight=False)

    def on_stage(self, name: str) -> None:
        self._bar.update(self._line, description=f"{self.format_progress()}, {name}")


def _build_progress_bar() -> "Progress":
    """The numbers of a run are a line's description; rich draws the bar, and nothing of it stays."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    parts = (SpinnerColumn(), text, BarColumn(bar_width=20), TimeElapsedColumn())
    stream = cast("IO[str]", console.LogStream())
    return Progress(*parts, console=Console(file=stream), transient=True)

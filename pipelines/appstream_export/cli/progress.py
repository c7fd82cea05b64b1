"""A run as it goes, on stderr: a live line on a terminal, else a few plain lines."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from appstream_export.cli import console
from appstream_export.model import Outcome, Page, Watch

if TYPE_CHECKING:
    from rich.progress import Progress

NAMED_MAX = 10
"""Failures named while the run goes; the end of the run names them all, or groups them."""
_LINES_MAX = 10


@contextmanager
def watching(*, is_quiet: bool = False) -> Generator[Watch]:
    """Watch a run on stderr; `is_quiet` leaves only what a terminal shows and wipes away."""
    if console.is_terminal(sys.stderr):
        with _bar() as bar:
            yield _Live(bar, is_quiet=is_quiet)
    else:
        yield Watch() if is_quiet else _Lines()


@contextmanager
def counting(what: str) -> Generator[Callable[[int, int], None]]:
    """A bar on a terminal's stderr, nothing elsewhere; it is told how many of how many are done."""
    if not console.is_terminal(sys.stderr):
        yield lambda _done, _of: None
        return
    with _bar() as bar:
        line = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(line, completed=done, total=of, description=f"{what} {done:,}/{of:,}")


class _Counting(Watch):
    """Counts what comes."""

    def __init__(self) -> None:
        self.tasks = self.done = self.items = self.failed = 0

    def planned(self, tasks: int) -> None:
        """So many tasks will be asked."""
        self.tasks = tasks

    def page(self, page: Page) -> None:
        """A page came."""
        self.items += len(page.items)

    def outcome(self, outcome: Outcome) -> None:
        """A task ended."""
        self.done += 1
        self.failed += outcome.status.is_failure

    def so_far(self) -> str:
        """Such as `12/56 scopes, 60 items, 2 not answered`: whether that is a failure, the end of the run tells."""
        failed = f", {self.failed} not answered" if self.failed else ""
        return f"{self.done}/{self.tasks} scopes, {self.items:,} items{failed}"

    def named(self, outcome: Outcome) -> str | None:
        """The line that names a failure, as long as there are few."""
        if not outcome.status.is_failure or self.failed > NAMED_MAX:
            return None
        return console.clean(f"{outcome.status} {outcome.task.scope}: {outcome.reason}")


class _Lines(_Counting):
    """For logs and pipes: about ten lines on the way."""

    def planned(self, tasks: int) -> None:
        super().planned(tasks)
        console.note(f"asking {tasks} scope{'' if tasks == 1 else 's'}")

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        if line := self.named(outcome):
            console.note(line)
        if self._is_a_tenth() or self.done == self.tasks:
            console.note(self.so_far())

    def stage(self, name: str) -> None:
        console.note(name)

    def _is_a_tenth(self) -> bool:
        tenths, before = (n * _LINES_MAX // self.tasks for n in (self.done, self.done - 1))
        return self.tasks > _LINES_MAX and tenths > before


class _Live(_Counting):
    """For people: one line that moves, failures above it."""

    def __init__(self, bar: "Progress", *, is_quiet: bool) -> None:
        super().__init__()
        self._bar, self._is_quiet = bar, is_quiet
        self._line = bar.add_task("asking", total=None)

    def planned(self, tasks: int) -> None:
        super().planned(tasks)
        self._bar.update(self._line, total=tasks, description=self.so_far())

    def page(self, page: Page) -> None:
        super().page(page)
        self._bar.update(self._line, description=self.so_far())

    def outcome(self, outcome: Outcome) -> None:
        super().outcome(outcome)
        self._bar.update(self._line, completed=self.done, description=self.so_far())
        line = self.named(outcome)
        if line and not self._is_quiet:
            self._bar.console.print(line, style="yellow", markup=False, highlight=False)

    def stage(self, name: str) -> None:
        self._bar.update(self._line, description=f"{self.so_far()}, {name}")


def _bar() -> "Progress":
    """The numbers of a run are a line's description; rich draws the bar, and nothing of it stays."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    parts = (SpinnerColumn(), text, BarColumn(bar_width=20), TimeElapsedColumn())
    return Progress(*parts, console=Console(stderr=True), transient=True)

"""A run's progress as a few log lines, however many scopes it has."""

import logging
from contextlib import suppress

from appstream_export.model import Outcome, Page, RunListener

LINES_MAX = 10


class LoggingRunListener(RunListener):
    """Logs stages, and about ten lines on the way; failures one by one only up to the same number."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._total = self._done = self._failed = self._items = 0

    def on_plan(self, tasks: int) -> None:
        """The number of tasks that will be asked."""
        self._total = tasks
        self._write(logging.INFO, f"asking {tasks} scopes")

    def on_page(self, page: Page) -> None:
        """Pages are too many to log."""
        self._items += len(page.items)

    def on_outcome(self, outcome: Outcome) -> None:
        """A task ended."""
        self._done += 1
        if outcome.status.is_failure:
            self._failed += 1
            if self._failed <= LINES_MAX:
                self._write(logging.WARNING, f"{outcome.task}: {outcome.status}: {outcome.reason}")
        tenths = self._done * LINES_MAX // self._total - (self._done - 1) * LINES_MAX // self._total
        if tenths and self._total > LINES_MAX:
            self._write(logging.INFO, f"{self._done}/{self._total} scopes, {self._items} items, {self._failed} failed")

    def on_stage(self, name: str) -> None:
        """The run goes on to its next stage."""
        self._write(logging.INFO, name)

    def _write(self, level: int, text: str) -> None:
        """Log a line. Dagster writes it to its database, which may be full or away: the export goes on without it."""
        with suppress(Exception):
            self._log.log(level, text)

"""Progress of a run as a few log lines, for any number of scopes."""

import logging
from contextlib import suppress

from appstream_export.model import STAGE_LINES, Outcome, Page, RunListener

LINES_MAX = 10


class LoggingRunListener(RunListener):
    """Listener that logs stages, about LINES_MAX lines of progress, and the first LINES_MAX scopes without an answer.

    Only the commit decides whether such a scope failed or is expected, so nothing is counted as failed here.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._total = self._done = self._unanswered = self._items = 0

    def on_plan(self, tasks: int) -> None:
        """Log the number of tasks that will be requested."""
        self._total = tasks
        self._write(logging.INFO, f"requesting {tasks} scopes")

    def on_page(self, page: Page) -> None:
        """Count the items of a page; pages are too many to log."""
        self._items += len(page.items)

    def on_outcome(self, outcome: Outcome) -> None:
        """Count a task; log its failure, and progress after each tenth of the tasks."""
        self._done += 1
        if outcome.status.is_failure:
            self._unanswered += 1
            if self._unanswered <= LINES_MAX:
                self._write(logging.WARNING, f"{outcome.task}: {outcome.status}: {outcome.reason}")
        # Not zero if this task completes another tenth of all tasks.
        tenths = self._done * LINES_MAX // self._total - (self._done - 1) * LINES_MAX // self._total
        if tenths and self._total > LINES_MAX:
            unanswered = f", {self._unanswered} not answered" if self._unanswered else ""
            self._write(logging.INFO, f"{self._done}/{self._total} scopes, {self._items} items{unanswered}")

    def on_stage(self, name: str) -> None:
        """Log what the stage that begins does."""
        self._write(logging.INFO, STAGE_LINES.get(name, name))

    def _write(self, level: int, text: str) -> None:
        """Log a line, without errors: Dagster's database may be full or unreachable, and the export must not fail."""
        with suppress(Exception):
            self._log.log(level, text)

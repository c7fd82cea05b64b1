"""The result of a run: outcomes from the newest snapshot, and the problems of publishing."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from appstream_export.lake.catalog import CheckResult
from appstream_export.lake.snapshots import (
    DISCARDED_CODE,
    ENDED_CODE,
    Manifest,
    get_task,
    load_head_rows,
    load_head_scope_runs,
)
from appstream_export.lake.storage import Store
from appstream_export.model import Outcome, Task
from appstream_export.run.publishing import Publication
from appstream_export.status import Status


@dataclass(frozen=True, kw_only=True)
class TaskResults:
    """The tasks of a run with their outcomes, as read from a snapshot."""

    outcomes: Mapping[Task, Outcome] = field(default_factory=dict)
    """Outcomes of requested tasks from scope_runs after the commit, and of scopes that the guard retains."""
    expected_failures: frozenset[Task] = frozenset()
    seen_at: Mapping[Task, datetime] = field(default_factory=dict)
    """When AWS last answered each task completely, now or earlier: if it fails, the rows from then are retained."""
    overtaken: frozenset[Task] = frozenset()
    """Tasks whose answer is discarded, because another run got a later answer and committed first."""
    unrequested: Mapping[str, int] = field(default_factory=dict)
    """Number of planned tasks that this run did not request, by resource; their rows are unchanged."""
    outcomes_problem: str | None = None
    """The reason if the outcomes could not be read; the snapshot remains committed."""


@dataclass(frozen=True, kw_only=True)
class RunResult(TaskResults, Publication):
    """The result of a run. `manifest` is the head after the run; `committed` is True if this call committed it."""

    manifest: Manifest
    committed: bool
    discovery_problem: str | None = None
    """The reason if discovery failed and the last known accounts were read; the run counts as failed."""
    max_failed_ratio: float = 0.0

    @cached_property
    def failures(self) -> list[Outcome]:
        """Outcomes that count as failures, in the order of their tasks."""
        return [o for t, o in sorted(self.outcomes.items()) if o.status.is_failure and t not in self.expected_failures]

    @property
    def answer_count(self) -> int:
        """The number of requested tasks that AWS answered."""
        return sum(o.status.is_answer for o in self.outcomes.values())

    @property
    def failed_checks(self) -> list[CheckResult]:
        """Checks of severity error that found rows."""
        return [check for check in self.checks if check.is_error]

    @property
    def publishing_failures(self) -> list[str]:
        """Problems of checks and outputs that failed; stages that a stop skipped do not count."""
        problems = {
            "catalog": self.catalog_problem,
            "checks": self.checks_problem,
            "feeds": self.feeds_problem,
            "report": self.report_problem,
        }
        return [problem for stage, problem in problems.items() if problem and stage not in self.left_out]

    @property
    def failed_ratio(self) -> float:
        """The highest of `failed_ratios`; 0 if it is empty."""
        return max(self.failed_ratios.values(), default=0.0)

    @cached_property
    def failed_ratios(self) -> Mapping[str, float]:
        """The ratio failed / (ok + failed) of the requested tasks, by resource; without resources that have neither."""
        failed = Counter(outcome.task.resource for outcome in self.failures)
        answered = Counter(o.task.resource for o in self.outcomes.values() if o.status.is_answer)
        return {name: failed[name] / (failed[name] + answered[name]) for name in sorted({*failed, *answered})}

    @property
    def insufficient_resources(self) -> list[str]:
        """Resources without any answer, or with more failures than `max_failed_ratio` accepts."""
        return [name for name, ratio in self.failed_ratios.items() if ratio == 1 or ratio > self.max_failed_ratio]

    @property
    def has_sufficient_coverage(self) -> bool:
        """True if outcomes could be read, discovery worked, and no resource is insufficient."""
        return not (self.outcomes_problem or self.discovery_problem or self.insufficient_resources)

    @property
    def exit_code(self) -> int:
        """The exit code: 3 if coverage is insufficient, a check of severity error or publishing failed; else 0."""
        is_sound = self.has_sufficient_coverage and not self.failed_checks and not self.publishing_failures
        return 0 if is_sound else 3


def build_run_result(
    manifest: Manifest,
    results: TaskResults,
    publication: Publication,
    *,
    is_committed: bool,
    discovery_problem: str | None,
    max_failed_ratio: float,
) -> RunResult:
    """Build the result of a run that has ended."""
    return RunResult(
        manifest=manifest,
        committed=is_committed,
        discovery_problem=discovery_problem,
        max_failed_ratio=max_failed_ratio,
        **vars(results),
        **vars(publication),
    )


def load_discovery_problem(store: Store, manifest: Manifest) -> str | None:
    """Return the discovery problem of a snapshot, derived from the table `snapshots`; None if discovery worked."""
    row = next(r for r in load_head_rows(store, manifest, "snapshots") if r["seq"] == manifest.seq)
    if row["discovery"] != "last_known":
        return None
    return "the organization's accounts could not be listed; the accounts of the previous snapshot were used"


def load_task_results(
    store: Store, manifest: Manifest, planned: Collection[Task], *, requested: Collection[Task] | None
) -> TaskResults:
    """Return the outcomes of `requested` tasks from a snapshot, of scopes that the guard retains, and of lost rows.

    If `requested` is None, these are the tasks with an attempt since the run started.
    """
    wanted, covered = requested if requested is None else frozenset(requested), frozenset(planned)
    scope_runs = {get_task(row): row for row in load_head_scope_runs(store, manifest)}
    rows = {
        task: row
        for task, row in scope_runs.items()
        if _is_retained_by_guard(row, manifest)
        or (task in wanted if wanted is not None else _is_of_this_run(row, manifest))
        or _is_lost_now(row, manifest)
    }
    return TaskResults(
        unrequested=Counter(task.resource for task in sorted(covered - rows.keys())),
        outcomes={task: _build_outcome(row, manifest) for task, row in rows.items()},
        expected_failures=frozenset(task for task, row in rows.items() if row["is_expected"]),
        overtaken=frozenset(task for task, row in rows.items() if _is_overtaken(row, manifest)),
        seen_at={task: row["observed_at"] for task, row in rows.items() if row["observed_at"] is not None},
    )


def _is_lost_now(row: Mapping[str, Any], manifest: Manifest) -> bool:
    """Return whether this snapshot found the rows of a task lost: a failure, whether the task was requested or not."""
    lost_at = row["rows_lost_at"]
    return lost_at is not None and lost_at >= manifest.started_at and not Status(row["status"]).is_answer


def _is_overtaken(row: Mapping[str, Any], manifest: Manifest) -> bool:
    discarded_at = row.get("discarded_at")
    is_own = discarded_at is not None and discarded_at >= manifest.started_at
    return is_own and row["error_code"] != DISCARDED_CODE


def _is_of_this_run(row: Mapping[str, Any], manifest: Manifest) -> bool:
    return row["attempted_at"] is not None and row["attempted_at"] >= manifest.started_at


def _is_retained_by_guard(row: Mapping[str, Any], manifest: Manifest) -> bool:
    """Return whether the guard retains a scope that is no longer covered: it fails until --accept-drop ends it."""
    # A concurrent run may have requested the scope.
    was_requested = row["finished_at"] is not None and row["finished_at"] > manifest.started_at
    return row["error_code"] == ENDED_CODE and not was_requested


def _build_outcome(row: Mapping[str, Any], manifest: Manifest) -> Outcome:
    """Return a row of scope_runs as an outcome; a scope that was never requested gets the run's start time."""
    same = ("reason", "error_code", "request_id", "pages", "items", "api_calls", "throttles", "retries", "resume_token",
            "rows", "duplicates", "quarantined")  # fmt: skip
    return Outcome(
        task=get_task(row),
        status=Status(row["status"]),
        attempted_at=row["attempted_at"] or manifest.started_at,
        finished_at=row["finished_at"] or manifest.started_at,
        **{name: row[name] for name in same},
    )

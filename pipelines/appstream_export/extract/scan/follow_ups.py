"""Follow-up calls: the rows of a parent's answer, and the calls that they lead to. All functions are pure."""

import re
from collections.abc import Collection, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from appstream_export.contracts import CallRules
from appstream_export.errors import ScopeError
from appstream_export.extract.scan.values import get_nested_value
from appstream_export.model import Task
from appstream_export.status import Status

CALLS_PER_S = 5.0
"""The default of max_calls_per_s for follow-up calls. AppStream's quotas are unknown, so start low."""
CALL_LIMIT_CODE = "CallLimit"
ALL_GONE = "AllNotFound"
_GONE = re.compile(r"\w*NotFound(Exception|Fault)?")

ParentRow = Mapping[str, str | None]
"""The string columns of a row of the parent that follow-up calls need; None if AWS gave no value."""


@dataclass(frozen=True, slots=True)
class ParentAnswer:
    """The answer of a parent task in one run.

    `partial_reason` is why the rows are not all of the scope's, `problem` why a row could not be read; None if neither.
    `calls` is the number of calls that it took.
    """

    task: Task
    rows: Sequence[ParentRow]
    partial_reason: str | None = None
    problem: str | None = None
    calls: int = 0


class UnreadableRow(ValueError):
    """A row of the parent has no text where a follow-up call needs one. The message names the column."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reader of a parent's rows. `sources` has the path of each string column, `key` the names of key columns."""

    sources: Mapping[str, tuple[str, ...]]
    inputs: Mapping[str, str]
    """Columns that repeat the parent's own parent: that parent's column by the own one."""
    key: frozenset[str]

    def read_row(self, item: Any, parent_row: Mapping[str, str], names: AbstractSet[str]) -> ParentRow:
        """Return the named columns of an item, and those of its parent's row; raises UnreadableRow."""
        found: dict[str, str | None] = {own: parent_row[column] for own, column in self.inputs.items()}
        for name in sorted(names & self.sources.keys()):
            value = get_nested_value(item, self.sources[name])
            if not isinstance(value, str | None) or (not value and name in self.key):
                raise UnreadableRow(f"an item has no text in {'.'.join(self.sources[name])}")
            found[name] = value or None
        return found


def list_targets(rules: CallRules, names: Collection[str], answer: ParentAnswer) -> list[Mapping[str, str]]:
    """Return the parent's row for each call: one per different row, or none at all without rows.

    `names` are the needed columns of the parent. A row without a value in one leads to no call: there is nothing to
    request.
    """
    if rules.per is None:
        return [{}] if answer.rows else []
    names = sorted(names)
    rows = (tuple(row[name] for name in names) for row in answer.rows)
    found = {row: {n: v for n, v in zip(names, row, strict=True) if v} for row in rows}
    return [row for row in found.values() if len(row) == len(names)]


def is_gone(error: ScopeError) -> bool:
    """Return whether AWS does not know the item of a follow-up call: it was deleted after the list was read."""
    return error.status is Status.ERROR and _GONE.fullmatch(error.code or "") is not None


def build_all_gone_error(operation: str, parent: Task, calls: int) -> ScopeError:
    """Return the error of a task all of whose calls were answered with "not found": that proves no deletion.

    A wrong input of the contract looks the same. If the items are really gone, the parent's next list lacks them.
    """
    rows = "the only row" if calls == 1 else f"all {calls} rows"
    why = f"{operation}: AWS does not know {rows} that {parent.resource} has just listed"
    return ScopeError(
        Status.MALFORMED, f"{why}; check `with` in its contract against AWS's documentation", code=ALL_GONE
    )


def build_parent_error(parent: Task, error: ScopeError) -> ScopeError:
    """Return the error of a task whose parent failed: that of the parent."""
    return ScopeError(error.status, f"{parent.resource}: {error.reason}", code=error.code, request_id=error.request_id)


def build_call_limit_error(operation: str, calls: int, max_calls: int) -> ScopeError:
    """Return the error of a task that needs more calls than its contract allows."""
    why = f"{operation}: it needs {calls} calls or more, and [limits] max_calls of its contract is {max_calls}"
    return ScopeError(Status.ERROR, why, code=CALL_LIMIT_CODE)

"""Image builders as flat rows, and snapshots of them, to measure commits and histories without AWS and pages.

Rows are made from numbers, and making them is never measured.
"""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import pyarrow as pa

from appstream_export.contracts import Table, arrow_schema, load_contracts
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.lake.snapshots.commit import commit_snapshot
from appstream_export.lake.snapshots.manifest import Manifest
from appstream_export.lake.snapshots.producer import CommitRequest, RunFacts
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import Store
from appstream_export.model import Outcome, Scope, Task
from appstream_export.status import Status

PER_SCOPE = 50  # builders: one full page
PART = 50_000  # builders: what a sweep spills at once
REGIONS = 20
ELEMENTS = {"image_builder_subnets": 2, "image_builder_security_groups": 2, "image_builder_errors": 0.1}
CHANGING = ("state", "observed_at")  # columns that depend on the hour
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Took:
    """Seconds of all blocks of `with took:`, CPU of all threads of this process.

    Objects from before the block are hidden from Python's garbage collector, so that they cost no time in it.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        gc.freeze()
        self.wall_s -= time.perf_counter()
        self.cpu_s -= time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s += time.perf_counter()
        self.cpu_s += time.process_time()


@dataclass(frozen=True)
class Estate:
    """Builders in scopes of one page, as they are at an hour."""

    builders: int
    hour: int = 0
    """Hour of the export."""
    moment: int | None = None
    """Moment of the states, the hour by default: from moment to moment a hundredth of the builders changes."""
    denied_every: int = 0
    """One scope in so many is denied; none by default."""
    unchanged: dict[tuple[int, str, str], pa.Array] | None = None
    """Columns that no hour changes, by part, table and name: for histories of many hours, which share this dict."""

    @property
    def scopes(self) -> list[Scope]:
        """All scopes in order."""
        count = -(-self.builders // PER_SCOPE)
        return [Scope(f"{111100000000 + n // REGIONS:012}", f"eu-west-{n % REGIONS + 1}") for n in range(count)]

    @property
    def answered(self) -> dict[Scope, range]:
        """Scopes that are not denied, with the numbers of their builders."""
        return {
            scope: range(place * PER_SCOPE, min((place + 1) * PER_SCOPE, self.builders))
            for place, scope in enumerate(self.scopes)
            if not self.denied_every or place % self.denied_every
        }

    def list_parts(self) -> Iterator[dict[str, pa.Table]]:
        """Yield rows in parts as a sweep writes them: each with scopes of all accounts."""
        answered, count = list(self.answered.items()), -(-self.builders // PART)
        moment = self.hour if self.moment is None else self.moment
        for first in range(count):
            numbers = [(scope, n) for scope, numbers in answered[first::count] for n in numbers]
            tables = load_contracts()[0].tables
            yield {t.name: _rows(t, numbers, moment, at(self.hour), self.unchanged, first) for t in tables}

    def write(self, store: Store, took: Took | None = None) -> StagedSnapshot:
        """Write the rows as a draft; making them is not timed."""
        draft = StagedSnapshot(store, list_snapshot_tables(load_contracts()), paths.generate_ulid())
        for part in self.list_parts():
            with took or Took():
                draft.write(part)
        return draft

    def commit(self, store: Store, draft: StagedSnapshot, took: Took | None = None) -> Manifest:
        """Commit the draft as a snapshot of that hour; making its outcomes is not timed."""
        when, answered = at(self.hour), self.answered
        tasks = [Task("image_builders", scope) for scope in self.scopes]
        outcomes = {task: _make_outcome(task, len(answered.get(task.scope, ())), when) for task in tasks}
        accounts = [{"account_id": a, "source": "settings"} for a in sorted({t.scope.account_id for t in tasks})]
        facts = RunFacts(
            run_id=f"r{when}", attempt_id=f"a{when}", started_at=when, tool_version="0", botocore_version="0",
            endpoint_url=None, discovery="listed", forced=False,
        )  # fmt: skip
        with took or Took():
            request = CommitRequest(
                store=store, contracts=load_contracts(), staged=draft, planned=tasks, outcomes=outcomes,
                accounts=accounts, facts=facts, clock=lambda: when,
            )  # fmt: skip
            return commit_snapshot(request)


def _make_outcome(task: Task, builders: int, when: datetime) -> Outcome:
    status, reason = (Status.OK, None) if builders else (Status.DENIED, "not allowed")
    return Outcome(
        task=task, status=status, reason=reason, attempted_at=when, finished_at=when, items=builders, rows=builders
    )


def _rows(
    table: Table,
    numbers: list[tuple[Scope, int]],
    moment: int,
    when: datetime,
    unchanged: dict[tuple[int, str, str], pa.Array] | None,
    part: int,
) -> pa.Table:
    elements, known = ELEMENTS.get(table.name, 0) if table.rows_from else 1, {} if unchanged is None else unchanged
    chosen = [(s, n, p) for s, n in numbers for p in range(int(elements) or (n % 10 < elements * 10))]
    columns = []
    for field in arrow_schema.build_arrow_schema(table):
        place = (part, table.name, field.name)
        column = known[place] if place in known else _column(field, chosen, moment, when)
        if unchanged is not None and field.name not in CHANGING:
            known[place] = column
        columns.append(column)
    return pa.table(columns, schema=arrow_schema.build_arrow_schema(table))


def _column(field: pa.Field, chosen: list[tuple[Scope, int, int]], moment: int, when: datetime) -> pa.Array:
    known: dict[str, Callable[[Scope, int, int], object]] = {
        "account_id": lambda scope, _n, _p: scope.account_id,
        "region": lambda scope, _n, _p: scope.region,
        "name": lambda _s, n, _p: f"builder-{n:08}",
        "image_builder_name": lambda _s, n, _p: f"builder-{n:08}",
        "arn": lambda s, n, _p: f"arn:aws:appstream:{s.region}:{s.account_id}:image-builder/builder-{n:08}",
        "position": lambda _s, _n, p: p,
        "state": lambda _s, n, _p: ("RUNNING", "STOPPED")[(n % 100 <= moment % 100) ^ (moment // 100 % 2)],
        "observed_at": lambda *_: when,
        "created_time": lambda _s, n, _p: START - timedelta(minutes=n),
        "eni_id": lambda _s, n, _p: f"eni-{n * 2654435761 % 2**32:08x}",
        "subnet_id": lambda _s, n, p: f"subnet-{n // 20 + p:08x}",
        "extra_json": lambda *_: None,
    }
    kinds: dict[pa.DataType, Callable[[Scope, int, int], object]] = {
        pa.string(): lambda _s, n, _p: f"{field.name} {n % 97}",
        pa.int64(): lambda _s, n, _p: n % 5 * 100,
        pa.bool_(): lambda _s, n, _p: n % 3 == 0,
    }
    value = known.get(field.name) or kinds.get(field.type, lambda *_: None)
    return pa.array([value(*one) for one in chosen], field.type)


def at(hour: int) -> datetime:
    """Return an hour as a time."""
    return START + timedelta(hours=hour)

"""An estate of image builders as flat rows, and its snapshots: what commits and histories are measured with.

No AWS, no pages: only what the lake is given. Rows are made from numbers, and making them is never measured.
"""

import gc
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

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
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Took:
    """What the blocks of `with took:` took together, in seconds; CPU of all threads of this process.

    Python's collector has nothing to do with what was there before: rows that we made weigh on nobody's time.
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
    """So many builders in scopes of one page, as they are at an hour."""

    builders: int
    hour: int = 0
    """When AWS is asked."""
    moment: int | None = None
    """Whose states it shows, the hour's by default: from moment to moment a hundredth of the builders changes."""
    denied_every: int = 0
    """One scope in so many is denied; none by default."""

    @property
    def scopes(self) -> list[Scope]:
        """In order."""
        count = -(-self.builders // PER_SCOPE)
        return [Scope(f"{111100000000 + n // REGIONS:012}", f"eu-west-{n % REGIONS + 1}") for n in range(count)]

    @property
    def answered(self) -> dict[Scope, range]:
        """Those that are not denied, with the numbers of their builders."""
        return {
            scope: range(place * PER_SCOPE, min((place + 1) * PER_SCOPE, self.builders))
            for place, scope in enumerate(self.scopes)
            if not self.denied_every or place % self.denied_every
        }

    def parts(self) -> Iterator[dict[str, pa.Table]]:
        """Rows in parts as a sweep writes them: each with scopes from everywhere."""
        answered, count = list(self.answered.items()), -(-self.builders // PART)
        moment = self.hour if self.moment is None else self.moment
        for first in range(count):
            numbers = [(scope, n) for scope, numbers in answered[first::count] for n in numbers]
            yield {table.name: _rows(table, numbers, moment, at(self.hour)) for table in load_contracts()[0].tables}

    def write(self, store: Store, took: Took | None = None) -> StagedSnapshot:
        """A draft on disk; making its rows is not timed."""
        draft, took = (
            StagedSnapshot(store, list_snapshot_tables(load_contracts()), paths.generate_ulid()),
            took or Took(),
        )
        for part in self.parts():
            with took:
                draft.write(part)
        return draft

    def commit(self, store: Store, draft: StagedSnapshot, took: Took | None = None, **more: Any) -> Manifest:
        """The draft as a snapshot of that hour; making its outcomes is not timed. `more` goes to the lake."""
        when, answered = at(self.hour), self.answered
        outcomes = [_outcome(Task("image_builders", s), len(answered.get(s, ())), when) for s in self.scopes]
        return commit_outcomes(store, draft, outcomes, when, took, **more)


def _outcome(task: Task, builders: int, when: datetime) -> Outcome:
    status, reason = (Status.OK, None) if builders else (Status.DENIED, "not allowed")
    return Outcome(
        task=task, status=status, reason=reason, attempted_at=when, finished_at=when, items=builders, rows=builders
    )


def _rows(table: Table, numbers: list[tuple[Scope, int]], moment: int, when: datetime) -> pa.Table:
    elements = ELEMENTS.get(table.name, 0) if table.rows_from else 1
    chosen = [(s, n, p) for s, n in numbers for p in range(int(elements) or (n % 10 < elements * 10))]
    columns = [_column(field, chosen, moment, when) for field in arrow_schema.build_arrow_schema(table)]
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
        "eni_private_ip_address": lambda _s, n, _p: f"10.{n // 65536 % 256}.{n // 256 % 256}.{n % 256}",
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
    """An hour as a time."""
    return START + timedelta(hours=hour)


def commit_outcomes(
    store: Store,
    draft: StagedSnapshot,
    outcomes: Collection[Outcome],
    when: datetime,
    took: Took | None = None,
    **more: Any,
) -> Manifest:
    """A commit as `run()` makes it; `more` goes to the lake."""
    tasks = [outcome.task for outcome in outcomes]
    accounts = [{"account_id": a, "source": "settings"} for a in sorted({t.scope.account_id for t in tasks})]
    facts = RunFacts(
        run_id=f"r{when}", attempt_id=f"a{when}", started_at=when, tool_version="0", botocore_version="0",
        endpoint_url=None, discovery="listed", forced=False,
    )  # fmt: skip
    by_task = {outcome.task: outcome for outcome in outcomes}
    with took or Took():
        request = CommitRequest(
            store=store, contracts=load_contracts(), staged=draft, planned=tasks, outcomes=by_task, accounts=accounts,
            facts=facts, clock=lambda: when, **more,
        )  # fmt: skip
        return commit_snapshot(request)

"""What a commit costs, and what a long history does: `uv run python -m benchmarks.commit`.

Only ratios within one run mean anything. The rival of a commit is writing the same Parquet files and nothing else; of
a long history, the same warehouse after its first snapshot. Memory is measured in processes of their own.
"""

import resource
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import pyarrow as pa

from benchmarks.findings import Findings, environment, say
from pipelines.contracts import Table, arrow, load_all
from pipelines.contracts.contract import all_tables
from pipelines.lake import layout
from pipelines.lake.catalog import connect, publish
from pipelines.lake.commit import RunFacts, commit
from pipelines.lake.draft import Draft
from pipelines.lake.garbage import gc
from pipelines.lake.manifest import SWEEP, Manifest, history
from pipelines.lake.retention import thin
from pipelines.lake.store import Store, open_store
from pipelines.lake.verify import verify
from pipelines.scope import Outcome, Scope, Status, Task
from pipelines.settings import RetentionSettings

PER_SCOPE = 50  # builders: one full page
PART = 50_000  # builders: what a sweep spills at once
REGIONS = 20
ELEMENTS = {"image_builder_subnets": 2, "image_builder_security_groups": 2, "image_builder_errors": 0.1}
START = datetime(2026, 1, 1, tzinfo=UTC)
CHANGES = (
    "select count(*), count(distinct snapshot_id), min(observed_at), max(snapshot_at), bit_xor(hash(new_value))"
    " from image_builder_changes_history"
)
SPANS = (
    "select new_value, count(*), sum(epoch(observed_at) - epoch(previous_observed_at))"
    " from image_builder_changes_history where column_name = 'state' group by 1 order by 1"
)
DAILY = "select snapshot_at::date, count(distinct (account_id, region)) from scope_runs_history group by 1 order by 1"


@dataclass(frozen=True)
class Estate:
    """So many builders in scopes of one page; at each moment another hundredth of them is in another state."""

    builders: int

    @property
    def scopes(self) -> list[Scope]:
        """In order."""
        count = -(-self.builders // PER_SCOPE)
        return [Scope(f"{111100000000 + n // REGIONS:012}", f"eu-west-{n % REGIONS + 1}") for n in range(count)]

    def parts(self, moment: int) -> Iterator[dict[str, pa.Table]]:
        """Parts as a sweep writes them: each with scopes from everywhere."""
        scopes, count = self.scopes, -(-self.builders // PART)
        for first in range(count):
            numbers = [
                (scope, place * PER_SCOPE + n)
                for place, scope in list(enumerate(scopes))[first::count]
                for n in range(min(PER_SCOPE, self.builders - place * PER_SCOPE))
            ]
            yield {table.name: _rows(table, numbers, moment) for table in load_all()[0].tables}


def _rows(table: Table, numbers: list[tuple[Scope, int]], moment: int) -> pa.Table:
    elements = ELEMENTS.get(table.name, 0) if table.each else 1
    chosen = [(s, n, p) for s, n in numbers for p in range(int(elements) or (n % 10 < elements * 10))]
    columns = [_column(field, chosen, moment) for field in arrow.schema(table)]
    return pa.table(columns, schema=arrow.schema(table))


def _column(field: pa.Field, chosen: list[tuple[Scope, int, int]], moment: int) -> pa.Array:
    known: dict[str, Callable[[Scope, int, int], object]] = {
        "account_id": lambda scope, _n, _p: scope.account_id,
        "region": lambda scope, _n, _p: scope.region,
        "name": lambda _s, n, _p: f"builder-{n:08}",
        "image_builder_name": lambda _s, n, _p: f"builder-{n:08}",
        "arn": lambda s, n, _p: f"arn:aws:appstream:{s.region}:{s.account_id}:image-builder/builder-{n:08}",
        "position": lambda _s, _n, p: p,
        "state": lambda _s, n, _p: ("RUNNING", "STOPPED")[(n % 100 <= moment % 100) ^ (moment // 100 % 2)],
        "observed_at": lambda *_: at(moment),
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


def at(moment: int) -> datetime:
    """The moments are hours."""
    return START + timedelta(hours=moment)


def written(store: Store, estate: Estate, moment: int) -> tuple[Draft, float]:
    """A draft on disk, and the seconds that writing took (making the rows left out)."""
    draft, spent = Draft(store, all_tables(load_all()), layout.new_snapshot_id()), 0.0
    for part in estate.parts(moment):
        began = time.perf_counter()
        draft.write(part)
        spent += time.perf_counter() - began
    return draft, spent


def committed(store: Store, estate: Estate, moment: int, draft: Draft, **more: Any) -> Manifest:
    """The draft as a snapshot of that hour; `more` is for commit()."""
    tasks, when = [Task("image_builders", scope) for scope in estate.scopes], at(moment)
    last = estate.builders - (len(tasks) - 1) * PER_SCOPE
    outcomes = {
        task: Outcome(task=task, status=Status.OK, reason=None, attempted_at=when, finished_at=when, items=n, rows=n)
        for task, n in zip(tasks, [PER_SCOPE] * (len(tasks) - 1) + [last], strict=True)
    }
    accounts = [{"account_id": a, "source": "settings"} for a in sorted({t.scope.account_id for t in tasks})]
    facts = RunFacts(
        run_id=f"r{moment}", attempt_id=f"a{moment}", started_at=when, tool_version="0", botocore_version="0",
        endpoint_url=None, discovery="listed", forced=False,
    )  # fmt: skip
    return commit(
        store, load_all(), draft, planned=tasks, outcomes=outcomes, accounts=accounts, facts=facts,
        clock=lambda: when, **more,
    )  # fmt: skip


def cost(builders: int, rounds: int) -> Findings:
    """Commit and publish over writing the same files: the first snapshot, then hours with 1% change."""
    found, estate = (
        Findings(f"A commit of {builders} builders, over writing the same Parquet files alone"),
        Estate(builders),
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, create=True)
        for moment in range(rounds + 1):
            draft, write_s = written(store, estate, moment)
            began = time.perf_counter()
            made = committed(store, estate, moment, draft)
            commit_s = time.perf_counter() - began
            publish(store, load_all())
            publish_s = time.perf_counter() - began - commit_s
            rows.append((made.counts["changes"], write_s, commit_s, publish_s))
    for name, some in (("first", rows[:1]), ("1% changed, median", rows[1:])):
        write, commit_, publish_ = (median(row[n] for row in some) for n in (1, 2, 3))
        figures = [name, some[-1][0], write, commit_, publish_, commit_ / write, (commit_ + publish_) / write]
        found.tables.append(_table(["snapshot", "change rows", "write s", "commit s", "publish s", "commit / write",
                                    "commit + publish / write"], figures))  # fmt: skip
    return found


def memory(sizes: list[int]) -> Findings:
    """Peak memory of a first and a second commit, in a process per size."""
    found, peaks = Findings("Peak memory of two commits, and bytes that DuckDB may hold"), []
    for size in sizes:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "benchmarks.commit", "--peak", str(size)], capture_output=True, text=True, check=True
        )
        peaks.append((size, *map(float, done.stdout.split())))
    first = peaks[0][1]
    rows = [[size, round(peak), peak / first, seconds] for size, peak, seconds in peaks]
    found.table(["builders", "peak MB", "over the first", "commits s"], rows)
    return found


def peak(builders: int) -> str:
    """Peak memory in MB and seconds of two commits of this process; what making the rows takes is in it."""
    estate, spent = Estate(builders), 0.0
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, create=True)
        for moment in range(2):
            draft, _ = written(store, estate, moment)
            began = time.perf_counter()
            committed(store, estate, moment, draft)
            spent += time.perf_counter() - began
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} {spent:.1f}"


def long(builders: int, snapshots: int) -> Findings:
    """Query of a view and bytes on disk in an hourly history with 1% change, before and after thinning it."""
    found, estate = (
        Findings(f"{snapshots} hourly snapshots of {builders} builders, 1% changed in each"),
        Estate(builders),
    )
    policy, rows = RetentionSettings(hourly_days=2, daily_days=90), []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder, create=True)
        for moment in range(snapshots):
            committed(store, estate, moment, written(store, estate, moment)[0])
            if moment == 0:
                rows.append(_measured("first", store))
        rows.append(_measured("all", store))
        before = _told(folder)
        thin(store, now=at(snapshots), policy=policy, tool_version="0", clock=lambda: at(snapshots))
        gc(store, load_all(), now=datetime.now(UTC) + timedelta(days=1), grace=timedelta())
        rows.append(_measured("thinned", store))
        found.promise(_told(folder) == before, "changes, spans or daily figures differ after thinning")
        found.promise(not verify(store), "verify finds something in the thinned warehouse")
    first = rows[0]
    found.table(
        ["history", "snapshots", "files", "MB", "query ms", "over the first"],
        [[*row[:3], row[3] / 1e6, row[4] * 1e3, row[4] / first[4]] for row in rows],
    )
    return found


def _measured(name: str, store: Store) -> tuple[str, int, int, float, float]:
    """Snapshots, files, bytes, and the median seconds of opening the warehouse and asking its newest rows something."""
    publish(store, load_all())
    files, times = store.files(), []
    for _ in range(7):
        began = time.perf_counter()
        with closing(connect(str(store.root))) as con:
            con.sql("select state, count(*) from image_builders group by 1").fetchall()
        times.append(time.perf_counter() - began)
    retained = sum(manifest.kind == SWEEP for manifest in history(store))
    return name, retained, len(files), float(sum(file.size_bytes for file in files)), median(times[1:])


def _told(folder: str) -> list[object]:
    with closing(connect(folder)) as con:
        return [con.sql(query).fetchall() for query in (CHANGES, SPANS, DAILY)]


def _table(header: list[str], row: Any) -> str:
    table = Findings("")
    table.table(header, [row])
    return table.tables[0]


def main() -> int:
    """Print all figures; 1 when a promise was broken."""
    parser = ArgumentParser(description=__doc__)
    for name, value in (
        ("builders", 50_000),
        ("rounds", 5),
        ("large", 1_000_000),
        ("snapshots", 200),
        ("small", 5_000),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--peak", type=int, help=f"only: {peak.__doc__}")
    asked = parser.parse_args()
    if asked.peak:
        say(peak(asked.peak))
        return 0
    say(environment())
    findings = [
        cost(asked.builders, asked.rounds),
        memory([10_000, 100_000, asked.large]),
        long(asked.small, asked.snapshots),
    ]
    for found in findings:
        say(f"\n{found}")
    return int(any(found.broken for found in findings))


if __name__ == "__main__":
    sys.exit(main())

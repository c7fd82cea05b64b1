"""Readers of the catalog while it is published again and again: each sees one snapshot, whole, and never an error.

They are processes of their own with nothing but DuckDB, as a dashboard would be: open, read all tables of a snapshot,
close. Every snapshot says of itself how many rows belong to it, so a torn or a mixed one shows.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from appstream_export.contracts import arrow_schema, load_contracts
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.lake.catalog.connect import publish_catalog
from appstream_export.lake.snapshots.commit import commit_snapshot
from appstream_export.lake.snapshots.producer import CommitRequest, RunFacts
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.storage import paths
from appstream_export.lake.storage.base import Store
from appstream_export.lake.storage.factory import open_store
from appstream_export.model import Outcome, Scope, Task
from appstream_export.status import Status
from benchmarks.findings import Findings

SCOPE = Scope("111122223333", "eu-west-1")
_READER = """
import json, select, sys, duckdb
reads, wrong, seqs = 0, [], set()
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        with duckdb.connect(sys.argv[1], read_only=True) as con:
            found = con.execute(sys.argv[2]).fetchall()
    except duckdb.Error as error:
        wrong.append(str(error).splitlines()[0])
        continue
    reads += 1
    seqs.add(found[0][0])
    if len(set(found[0])) > 1:
        wrong.append(f"torn: {found[0]}")
print(json.dumps({"reads": reads, "wrong": wrong, "seqs": sorted(seqs)}))
"""
# Snapshot n has n builders in the state S<n>, each with one subnet named after it: all of these are n.
_QUESTION = """
select
    (select max(seq) from snapshots),
    (select count(*) from image_builders),
    (select max(state[2:]::bigint) from image_builders),
    (select min(state[2:]::bigint) from image_builders),
    (select count(*) from image_builder_subnets join image_builders on image_builder_name = name),
    (select min(subnet_id[2:]::bigint) from image_builder_subnets),
    (select sum(rows) from scope_runs),
    (select count(distinct snapshot_id) from image_builders_history)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the proof is. Each snapshot is published several times over, for publishing is what is tried."""

    snapshots: int = 40
    publications: int = 10
    readers: int = 8


FULL = Size()
QUICK = Size(snapshots=3, publications=3, readers=2)


def prove(size: Size, folder: Path) -> Findings:
    """One table: reads during publications, with what went wrong."""
    found = Findings(
        f"Readers of the catalog: {size.readers} at once, beside {size.snapshots * size.publications} swaps"
    )
    store = open_store(str(folder / "warehouse"), create=True)
    _publish(store, 1, 1)
    with ExitStack() as running:
        readers = [running.enter_context(_reader(store)) for _ in range(size.readers)]
        for number in range(2, size.snapshots + 1):
            _publish(store, number, size.publications)
        told = [json.loads(reader.communicate("stop")[0]) for reader in readers]
    reads, wrong = sum(t["reads"] for t in told), [what for t in told for what in t["wrong"]]
    snapshots = len({seq for t in told for seq in t["seqs"]})
    word = found.promise(not wrong, f"{len(wrong)} of {reads} reads, such as {next(iter(wrong), '')}")
    found.promise(all(t["reads"] for t in told) and snapshots > 1, "the readers saw too little to prove anything")
    found.table(["publications", "reads", "snapshots seen", "torn or failed", "promise"],
                [[size.snapshots * size.publications, reads, snapshots, len(wrong), word]])  # fmt: skip
    return found


def _reader(store: Store) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", _READER, store.resolve_uri(paths.CATALOG_FILE), _QUESTION]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours


def _publish(store: Store, number: int, times: int) -> None:
    contracts, now = load_contracts(), datetime.now(UTC)
    task, draft = (
        Task(contracts[0].name, SCOPE),
        StagedSnapshot(store, list_snapshot_tables(contracts), paths.generate_ulid()),
    )
    draft.write(dict(_rows(number, now)))
    outcome = Outcome(
        task=task, status=Status.OK, reason=None, attempted_at=now, finished_at=now, items=number, rows=number
    )
    facts = RunFacts(
        run_id=str(number), attempt_id=str(number), started_at=now, tool_version="0", botocore_version="0",
        endpoint_url=None, discovery="listed", forced=False,
    )  # fmt: skip
    accounts = [{"account_id": SCOPE.account_id, "source": "settings"}]
    request = CommitRequest(
        store=store, contracts=contracts, staged=draft, planned=[task], outcomes={task: outcome}, accounts=accounts,
        facts=facts,
    )  # fmt: skip
    commit_snapshot(request)
    for _ in range(times):
        publish_catalog(store, contracts)


def _rows(number: int, now: datetime) -> Iterator[tuple[str, pa.Table]]:
    scope = {"account_id": SCOPE.account_id, "region": SCOPE.region, "observed_at": now}
    known = {table.name: table for table in load_contracts()[0].tables}
    rows: dict[str, list[dict[str, Any]]] = {
        "image_builders": [{"name": f"b{n}", "state": f"S{number}"} for n in range(number)],
        "image_builder_subnets": [
            {"image_builder_name": f"b{n}", "position": 0, "subnet_id": f"S{number}"} for n in range(number)
        ],
    }
    for name, made in rows.items():
        yield (
            name,
            pa.Table.from_pylist([scope | row for row in made], schema=arrow_schema.build_arrow_schema(known[name])),
        )

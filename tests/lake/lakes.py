"""A warehouse under test, fed with answers as the sweep would feed it. Keyword-only, and absent unless named."""

import itertools
import json
import random
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from appstream_export.contracts import (
    Column,
    Contract,
    arrow_schema,
    decode_contract,
    encode_contract,
    load_contracts,
    load_operational_tables,
    load_packaged_contracts,
)
from appstream_export.contracts.model import list_snapshot_tables
from appstream_export.errors import ExportError
from appstream_export.lake.catalog.connect import connect_warehouse, load_existing_history, publish_catalog
from appstream_export.lake.catalog.file import create_views
from appstream_export.lake.catalog.query import run_query
from appstream_export.lake.duckdb import open_duckdb, quote_literal
from appstream_export.lake.maintenance import erase_account, expire_snapshots
from appstream_export.lake.snapshots.commit import commit_snapshot
from appstream_export.lake.snapshots.manifest import Manifest, load_head
from appstream_export.lake.snapshots.producer import CommitRequest, RunFacts
from appstream_export.lake.snapshots.staged_snapshot import StagedSnapshot
from appstream_export.lake.storage import LocalStore, paths
from appstream_export.lake.storage.factory import open_store
from appstream_export.model import Outcome, Scope, Task
from appstream_export.settings import RetentionSettings, S3Settings
from appstream_export.status import Status

EVERYWHERE = pytest.mark.parametrize("lake", ["folder", pytest.param("bucket", marks=pytest.mark.long)], indirect=True)
"""Such a test's lake lies in a folder, and, among the long tests, in a bucket."""
EVERYWHERE_IN_CI = pytest.mark.parametrize(
    "lake", ["folder", pytest.param("bucket", marks=pytest.mark.slow)], indirect=True
)
"""The slice of these tests that CI runs in a bucket too."""
A, B, C = "111122223333/eu-west-1", "111122223333/us-east-1", "444455556666/eu-west-1"
START = datetime(2026, 1, 2, 12, tzinfo=UTC)
DAY = 24.0
_STATES = ("RUNNING", "STOPPED", "PENDING", None)
_TYPES = ("stream.standard.large", "stream.standard.xlarge")
OTHER = "app_block_builders"
_POLICY = RetentionSettings(hourly_days=1, daily_days=20, monthly_months=3)


def at(minute: int) -> datetime:
    """A moment: minutes after noon."""
    return START + timedelta(minutes=minute)


def task(scope: str, resource: str = "image_builders") -> Task:
    """The task of a scope."""
    return Task(resource, Scope.parse(scope))


def builder(name: str, *, subnets: Sequence[str] = (), errors: Sequence[str] = (), **columns: Any) -> dict[str, Any]:
    """An image builder in flattened form."""
    return {"name": name, **columns, "subnets": list(subnets), "errors": list(errors)}


def bad(item_name: str | None, path: str | None, *, level: str = "value") -> dict[str, Any]:
    """Something in quarantine."""
    return {"item_name": item_name, "path": path, "level": level, "reason": "not readable", "raw_json": '"?"'}


@dataclass
class Answer:
    """What one scope gave."""

    scope: str
    builders: list[dict[str, Any]] = field(default_factory=list)
    status: Status = Status.OK
    reason: str | None = None
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    minute: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    resource: str = "image_builders"
    """Of another one, `builders` are rows of the items' own table."""

    @property
    def task(self) -> Task:
        """The task that it answers."""
        return task(self.scope, self.resource)

    def outcome(self, moment: datetime) -> Outcome:
        """Its row of scope_runs in the making."""
        items = sum(q["level"] == "item" for q in self.quarantine)
        counts = {"rows": len(self.builders), "quarantined": len(self.quarantine), "quarantined_items": items}
        counts["items"] = counts["rows"] + items
        reason = None if self.status is Status.OK else self.reason or f"it was {self.status}"
        return Outcome(
            task=self.task, status=self.status, reason=reason, attempted_at=moment, finished_at=moment,
            **(counts | self.counts),  # ty: ignore[invalid-argument-type]
        )  # fmt: skip


def ok(scope: str, *builders: dict[str, Any], **more: Any) -> Answer:
    """A complete answer."""
    return Answer(scope, list(builders), **more)


def filtered(scope: str, *builders: dict[str, Any], **more: Any) -> Answer:
    """An answer of which only a part was asked for."""
    return Answer(scope, list(builders), Status.FILTERED, **more)


def failed(scope: str, status: Status = Status.DENIED, reason: str | None = None, **more: Any) -> Answer:
    """No answer."""
    return Answer(scope, [], status, reason, **more)


class Lake:
    """A warehouse; each commit happens a minute after the one before."""

    def __init__(
        self,
        place: Path | str,
        *,
        file_mode: int = 0o600,
        contracts: list[Contract] | None = None,
        s3: S3Settings | None = None,
    ) -> None:
        self.s3 = s3
        self.store: Any = open_store(str(place), file_mode=file_mode, create=True, s3=s3)
        self.contracts = contracts or load_contracts()
        self.is_quick = contracts is None and isinstance(self.store, LocalStore)
        self.minute = 0
        self.who = "attempt"
        self._open: tuple[Manifest | None, duckdb.DuckDBPyConnection] | None = None
        self._own: duckdb.DuckDBPyConnection | None = None
        self.scopes: list[str] = []

    def draft(self, *answers: Answer, moment: datetime | None = None) -> StagedSnapshot:
        """The files of a run."""
        draft = StagedSnapshot(self.store, list_snapshot_tables(self.contracts), paths.generate_ulid())
        for answer in answers:
            draft.write(self._parts(answer, self._moment(answer, moment or at(self.minute))))
        return draft

    def commit(
        self,
        *answers: Answer,
        planned: Iterable[str] | None = None,
        draft: StagedSnapshot | None = None,
        attempt: str | None = None,
        forced: bool = False,
        accounts: Sequence[Mapping[str, Any]] | None = None,
        **more: Any,
    ) -> Manifest:
        """One run. Unless `planned` is named, all scopes asked so far are."""
        self.minute += 1
        moment = at(self.minute)
        self.scopes = list(planned) if planned is not None else sorted({*self.scopes, *(a.scope for a in answers)})
        ids = sorted({scope.partition("/")[0] for scope in self.scopes})
        attempt = attempt or f"{self.who}-{self.minute}"
        request = CommitRequest(
            store=self.store,
            contracts=self.contracts,
            staged=draft or self.draft(*answers, moment=moment),
            planned=[*(task(scope) for scope in self.scopes), *(a.task for a in answers if a.resource == OTHER)],
            outcomes={a.task: a.outcome(self._moment(a, moment)) for a in answers},
            accounts=accounts or [{"account_id": i, "account_name": f"team {i[0]}", "source": "settings"} for i in ids],
            facts=RunFacts(
                run_id=f"run-{attempt}", attempt_id=attempt, started_at=moment - timedelta(seconds=30),
                tool_version="0", botocore_version="1", endpoint_url=None, discovery="listed", forced=forced,
            ),
            **more,
        )  # fmt: skip
        return commit_snapshot(request)

    def commit_at(self, hours: float, *answers: Answer, **more: Any) -> Manifest:
        """One run that takes place so many hours after noon, its answers and its commit in the same moment."""
        self.minute = round(hours * 60) - 1
        return self.commit(*answers, clock=lambda: at(round(hours * 60)), **more)

    def release(self, contracts: list[Contract]) -> None:
        """Go on with other contracts, as another version of the program or of its settings would."""
        self.contracts, self.is_quick = contracts, False
        if self.store.exists(paths.CATALOG_FILE):
            self.publish()
        self.reopen()

    def publish(self) -> Path:
        """The catalog."""
        return publish_catalog(self.store, self.contracts)

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """A connection that shows the head; opened anew after each commit."""
        newest = load_head(self.store)
        if self._open is None or self._open[0] != newest:
            self._open = newest, self._connect_quickly()
        return self._open[1]

    def connected(self) -> duckdb.DuckDBPyConnection:
        """A connection as readers get it."""
        return connect_warehouse(str(self.store.root), s3=self.s3, load_contracts=lambda: self.contracts)

    def _connect_quickly(self) -> duckdb.DuckDBPyConnection:
        """Connect through a catalog of the test's own: without one, hundreds of views are created for the reader."""
        if not self.is_quick or self.store.exists(paths.CATALOG_FILE):
            return self.connected()
        try:
            self._own = self._own or self._open_template()
            manifests = load_existing_history(self.store)
            create_views(self._own, self.contracts, manifests, self.store.resolve_uri(), is_prefilled=True)
        except (ExportError, duckdb.Error):  # a reader reports what is wrong in its own words
            self._own = None
            return self.connected()
        return self._own

    def _open_template(self) -> duckdb.DuckDBPyConnection:
        """Open a private copy of a catalog that has the same views, over the files of another warehouse."""
        from tests.catalogs import build_template

        folder = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        file = Path(folder) / "template.duckdb"
        file.write_bytes(build_template())
        con = open_duckdb(self.store)
        con.execute("set threads = 1")
        con.execute(f"attach {quote_literal(str(file))} as warehouse")
        con.execute("use warehouse")
        return con

    def reopen(self) -> None:
        """Let the next reader find its own way: what the one before it reads may have been collected."""
        self._open = None

    def close(self) -> None:
        """The same, and whoever was handed the connection reads no more."""
        if self._open:
            self._open[1].close()
        self._own = None
        self.reopen()

    def sql(self, text: str, params: Any = None) -> list[Any]:
        """Rows as tuples, bare values where there is one column."""
        return bare(run_query(self.con, text, params))

    def names(self, scope: str = A) -> list[str]:
        """Names of the builders that a scope serves."""
        account, _, region = scope.partition("/")
        return self.sql(
            f"select name from image_builders where account_id = '{account}' and region = '{region}' order by 1"
        )

    def changes(self) -> list[tuple[Any, ...]]:
        """Changes of the newest snapshot: name, change, column, old, new."""
        return self.sql(
            "select name, change, column_name, old_value, new_value from image_builder_changes order by all"
        )

    def run(self, scope: str = A) -> dict[str, Any]:
        """The scope's row of scope_runs."""
        account, _, region = scope.partition("/")
        sql = "select * from scope_runs where account_id = ? and region = ?"
        found = run_query(self.con, sql, [account, region]).to_pylist()
        assert len(found) == 1, found
        return found[0]

    def files(self) -> set[str]:
        """Every Parquet file that lies there."""
        return {file.path for file in self.store.list_all() if file.path.endswith(".parquet")}

    def _moment(self, answer: Answer, moment: datetime) -> datetime:
        return moment if answer.minute is None else at(answer.minute)

    def _parts(self, answer: Answer, moment: datetime) -> dict[str, pa.Table]:
        account, _, region = answer.scope.partition("/")
        scope = {"account_id": account, "region": region, "observed_at": moment}
        items = [{k: v for k, v in b.items() if k not in ("subnets", "errors")} for b in answer.builders]
        if answer.resource != "image_builders":
            table = next(c.item_table for c in self.contracts if c.name == answer.resource)
            schema = arrow_schema.build_arrow_schema(table)
            return {table.name: pa.Table.from_pylist([scope | item for item in items], schema=schema)}
        rows = {
            "image_builders": items,
            "image_builder_subnets": _elements(answer, "subnets", "subnet_id"),
            "image_builder_errors": _elements(answer, "errors", "error_code"),
            "quarantine": [{"resource": "image_builders", **q} for q in answer.quarantine],
        }
        known = {t.name: t for t in (*(t for c in self.contracts for t in c.tables), *load_operational_tables())}
        return {
            name: pa.Table.from_pylist(
                [scope | row for row in found], schema=arrow_schema.build_arrow_schema(known[name])
            )
            for name, found in rows.items()
            if name in known
        }


def live_randomly(
    lake: Lake,
    chance: random.Random,
    *,
    steps: int,
    prices: Sequence[Any] = (),
    gaps: Sequence[float] = (1, DAY, 9 * DAY, 25 * DAY),
) -> Iterator[float]:
    """Let random commits, expiries, erasures of account C and releases happen over months; yield the hour after each.

    A release has other contracts: see `draw_contracts`. `gaps` are the hours between them.
    """
    hour = 0.0

    def commit() -> None:
        lake.commit_at(hour, *_draw_answers(lake, chance, hour), prices=prices[: chance.choice((0, 1, 1, 1))])

    def expire() -> None:
        expire_snapshots(lake.store, now=at(round(hour * 60)), policy=_POLICY, tool_version="0")

    def erase() -> None:
        erase_account(lake.store, lake.contracts, C[:12], now=at(round(hour * 60)), tool_version="0")

    def release() -> None:
        lake.release(draw_contracts(chance))

    commit()
    for _ in range(steps):
        hour += chance.choice(gaps)
        try:
            chance.choices((commit, expire, erase, release), (8, 1, 1, 3))[0]()
        except ExportError:  # nothing to erase, or nothing committed
            continue
        yield hour


def draw_contracts(chance: random.Random) -> list[Contract]:
    """Return the contracts of some release: image builders with a column more or of another type, another resource.

    The other resource may have a longer key, and so its change log one column more.
    """
    mood = [Column("mood", kind, "How it feels.", "Mood") for kind in chance.choice(((), ("string",), ("integer",)))]
    others = [c for c in load_packaged_contracts() if c.name == OTHER]
    others = chance.choice(([], others, [lengthen_key(contract, "platform") for contract in others]))
    return [widen(contract, *mood) for contract in [*load_contracts(), *others]]


def lengthen_key(contract: Contract, column: str) -> Contract:
    """The contract with one more column in the items' key."""
    raw = json.loads(encode_contract(contract))
    raw[contract.item_table.name]["key"] = [*contract.item_key, column]
    return decode_contract(contract.name, json.dumps(raw).encode())


def widen(contract: Contract, *columns: Column) -> Contract:
    """The contract with more columns in the items' own table."""
    item, *children = contract.tables
    return replace(
        contract, tables=(replace(item, columns=(*item.columns[:-2], *columns, *item.columns[-2:])), *children)
    )


def _draw_answers(lake: Lake, chance: random.Random, hour: float) -> Iterator[Answer]:
    """Yield an answer of each task: builders in any state, perhaps late, a part, or a failure."""
    for contract, scope in itertools.product(lake.contracts, (A, B, C)):
        moods = {"string": "good", "integer": 7}
        mood = next((moods[column.type] for column in contract.item_table.columns if column.name == "mood"), None)
        types = _TYPES[: chance.choice((1, 1, 2))]
        made = [
            builder(name, state=chance.choice(_STATES), instance_type=chance.choice(types), mood=mood, platform="X")
            for name in "abc"
            if chance.random() < 0.7
        ]
        answered = hour - chance.choice((0, 0, 0, 30)) * DAY - chance.random() / 2  # no two at once
        minute = round((answered if answered > 0 else hour) * 60)
        kind = chance.choices(("ok", "filtered", "failed"), (6, 1, 1))[0]
        if kind == "failed":
            yield failed(scope, resource=contract.name)
        elif kind == "ok":
            yield ok(scope, *made, minute=minute, resource=contract.name)
        else:
            yield filtered(scope, *made[:1], resource=contract.name)


def bare(table: pa.Table) -> list[Any]:
    """Rows as tuples, bare values where there is one column."""
    rows = [tuple(row.values()) for row in table.to_pylist()]
    return [row[0] for row in rows] if table.num_columns == 1 else rows


def _elements(answer: Answer, field_: str, column: str) -> list[dict[str, Any]]:
    return [
        {"image_builder_name": b["name"], "position": n, column: value}
        for b in answer.builders
        for n, value in enumerate(b[field_])
    ]

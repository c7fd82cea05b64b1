"""The catalog's SQL: for each table the newest rows, all rows and the rows as of a moment, with comments.

`<table>` is the newest snapshot, `<table>_history` all of them, `<table>_as_of(t)` the newest at a moment. Columns
are named one by one, in the contract's order. What a view needs besides (which snapshot was committed when) stands in
the small tables of the schema `lake`. A table that no contract knows any more has its history left, under the columns
it had.

Files are named by their paths, in views of the schema `files` alone: all others stand over those, and are the same
from snapshot to snapshot.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by sql.py

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from appstream_export.contracts import Column, Contract, Table, sql_files
from appstream_export.contracts.model import ACCOUNT_NAME, IS_STALE, SNAPSHOT_ID, all_tables, operational_table
from appstream_export.contracts.sql_files import SqlFile
from appstream_export.lake.snapshots.manifest import SWEEP, Manifest, TableFiles, kept
from appstream_export.lake.snapshots.scan_sql import rows
from appstream_export.lake.sql import listed, literal, quoted

FILES = "files"  # the schema of views that name files
SNAPSHOT_AT = Column("snapshot_at", "timestamp", "When the row's snapshot was committed.")
# A moment `t` as users write it: a bare date means its end, a time without zone is UTC. DuckDB 1.4 wants seconds
# before a zone.
MOMENT = r"""case
        when regexp_full_match(trim(t::varchar), '\d{4}-\d{1,2}-\d{1,2}')
        then ((trim(t::varchar)::date + 1)::varchar || ' 00:00:00+00')::timestamptz - interval 1 microsecond
        when regexp_matches(trim(t::varchar), '(Z|z| UTC|[+-]\d{2}(:?\d{2}){0,2})$')
        then regexp_replace(trim(t::varchar), '([ T]\d{1,2}:\d{2})(Z|z| UTC|[+-][\d:]+)$', '\1:00\2')::timestamptz
        else (trim(t::varchar)::timestamp::varchar || '+00')::timestamptz
    end"""

# Words that sql/ uses. Days are those of UTC whatever the reader's time zone is. The price that counts is of the newest
# snapshot's list: the row that names most things wins, then the newest; null where none fits.
MACROS = (
    "utc_day(t) as make_timestamp(epoch_us(t))::date",
    "midnight(day) as to_timestamp(epoch(day))",
    "hours_between(a, b) as (epoch(b) - epoch(a)) / 3600",
    """hours_within(a, b, day) as
        greatest(0, hours_between(greatest(a, midnight(day)), least(b, midnight(day + 1))))""",
    "days_between(a, b) as generate_series(utc_day(a)::timestamp, utc_day(b)::timestamp, interval 1 day)::date[]",
    """price_at(of_region, of_type, of_platform, day) as (
        select max({
            'place': [
                (region <> '*')::int + (instance_type <> '*')::int + (platform <> '*')::int,
                (region <> '*')::int, (instance_type <> '*')::int, epoch(valid_from)
            ],
            'usd_per_hour': usd_per_hour, 'disk_usd_per_gb_month': disk_usd_per_gb_month
        })
        from prices
        where region in (of_region, '*') and instance_type in (of_type, '*') and platform in (of_platform, '*')
        and valid_from <= midnight(day)
    )""",
)


@dataclass(frozen=True, slots=True)
class View:
    """A view's name, doc and columns in order: what the catalog shows of it, and what `describe` prints."""

    name: str
    doc: str
    columns: tuple[Column, ...]


def shown(table: Table) -> View:
    """The view of a table's newest rows: the table's columns, and for contract tables account name and staleness."""
    return View(table.name, table.doc, table.view_columns)


def statements(
    contracts: Sequence[Contract], manifests: Sequence[Manifest], uri: Callable[[str], str]
) -> Iterator[str]:
    """Every statement that makes the catalog of a history, in order."""
    yield from over_files(contracts, manifests, uri)
    yield from over_tables(contracts, manifests)


def over_files(
    contracts: Sequence[Contract], manifests: Sequence[Manifest], uri: Callable[[str], str]
) -> Iterator[str]:
    """Those that say which files there are. They may be run again, on the catalog of another moment."""
    yield from _commits(manifests, uri)
    yield f"create schema if not exists {FILES}"
    for table in all_tables(contracts):
        yield _over_files(table.name, rows(table, _newest(table, manifests), uri))
    for table in shown_tables(contracts, manifests):
        yield _over_files(f"{table.name}_history", _all_rows(table, manifests, uri))


def over_tables(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> Iterator[str]:
    """Those that depend on contracts and on `sql/`, and on a history only where it has tables of retired contracts."""
    tables = all_tables(contracts)
    first = ("scope_runs", "accounts")  # the other views join them
    for table in sorted(tables, key=lambda table: table.name not in first):
        yield from _table(table)
    for table in _retired(tables, manifests):
        yield from _past(table)
    yield from (f"create macro {macro}" for macro in MACROS)
    yield from _marts(tables)


def shown_tables(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> list[Table]:
    """Those of the contracts, and those that only older snapshots have."""
    tables = all_tables(contracts)
    return [*tables, *_retired(tables, manifests)]


def _over_files(name: str, source: str) -> str:
    return f"create or replace view {FILES}.{quoted(name)} as {source}"


def _marts(tables: Sequence[Table]) -> Iterator[str]:
    """Views over several tables and marts, but for those of a resource that is no longer exported."""
    known = {name for table in tables for name in (table.name, f"{table.name}_history")}
    for file in sql_files.views():
        if known.issuperset(file.reads):
            known.add(file.name)
            yield from _file(file)


def _commits(manifests: Sequence[Manifest], uri: Callable[[str], str]) -> Iterator[str]:
    """Every commit there ever was; `is_retained` are those whose rows can still be read as a whole."""
    snapshots = operational_table("snapshots")
    retained = ", ".join(str(m.seq) for m in manifests if m.kind == SWEEP)
    yield "create schema if not exists lake"
    yield (
        "create or replace table lake.commits as"
        f" select seq, snapshot_id, committed_at, seq in ({retained}) as is_retained"
        f" from ({rows(snapshots, [manifests[-1].tables[snapshots.name]], uri)})"
    )


def _table(table: Table) -> Iterator[str]:
    view = shown(table)
    yield f"create view {quoted(view.name)} as {_select(table, view, past=False)}"
    yield from _comments(view)
    yield from _past(table)


def _past(table: Table) -> Iterator[str]:
    columns = shown(table).columns if table.cumulative else (*shown(table).columns, SNAPSHOT_AT)
    past = View(f"{table.name}_history", f"{table.doc} All snapshots.", columns)
    yield f"create view {quoted(past.name)} as {_select(table, past, past=True)}"
    yield _as_of(table, past)
    yield from _comments(past)


def _newest(table: Table, manifests: Sequence[Manifest]) -> list[TableFiles]:
    files = manifests[-1].tables.get(table.name)
    return [files] if files else []


def _all_rows(table: Table, manifests: Sequence[Manifest], uri: Callable[[str], str]) -> str:
    """Rows of all sweeps, and those that outlived theirs; a cumulative table's newest files hold all of them."""
    if table.cumulative:
        return rows(table, _newest(table, manifests), uri)
    own = rows(table, [files for m in manifests if m.kind == SWEEP and (files := m.tables.get(table.name))], uri)
    outlived = kept(manifests, table.name)
    return f"{own} union all {rows(replace(table, cumulative=True), outlived, uri)}" if outlived else own


def _retired(tables: Sequence[Table], manifests: Sequence[Manifest]) -> list[Table]:
    """Tables that only older snapshots have: their contract is gone, their columns stand in the manifests."""
    known, gone = {table.name for table in tables}, dict[str, dict[str, str]]()
    for manifest in manifests:
        found = manifest.tables | {name: files[-1] for name, files in manifest.kept.items()}
        for name in found.keys() - known:
            gone[name] = gone.get(name, {}) | found[name].columns
    doc = "Of a resource that is no longer exported."
    return [Table(name, doc, (SNAPSHOT_ID, *_columns(columns, doc)), key=()) for name, columns in sorted(gone.items())]


def _columns(stored: Mapping[str, str], doc: str) -> Iterator[Column]:
    return (Column(name, kind, doc) for name, kind in stored.items() if name != SNAPSHOT_ID.name)


def _select(table: Table, view: View, *, past: bool) -> str:
    names = ", ".join(_origin(column) for column in view.columns)
    joins, suffix, snapshot = "", ("_history" if past else ""), ("snapshot_id, " if past else "")
    if past and not table.cumulative:
        joins += " join lake.commits as c using (snapshot_id)"
    if table.resource:
        joins += f" left join accounts{suffix} as a using ({snapshot}account_id)"
        run = f"(select * from scope_runs{suffix} where resource = {literal(table.resource)})"
        joins += f" left join {run} as s using ({snapshot}account_id, region)"
    return f"select {names} from {FILES}.{quoted(view.name)} as r{joins}"


def _origin(column: Column) -> str:
    if column is ACCOUNT_NAME:
        return "a.account_name"
    if column is IS_STALE:
        return "s.is_stale"
    return "c.committed_at as snapshot_at" if column is SNAPSHOT_AT else f"r.{quoted(column.name)}"


def _as_of(table: Table, past: View) -> str:
    when = f"committed_at <= {MOMENT}"
    if not table.cumulative:
        newest = f"select snapshot_id from lake.commits where is_retained and {when} order by seq desc limit 1"
        when = f"snapshot_id = ({newest})"
    select = f"select {listed(column.name for column in past.columns)} from {quoted(past.name)} where {when}"
    return f"create macro {quoted(f'{table.name}_as_of')}(t) as table {select}"


def _comments(view: View) -> Iterator[str]:
    yield f"comment on view {quoted(view.name)} is {literal(view.doc)}"
    for column in view.columns:
        yield f"comment on column {quoted(view.name)}.{quoted(column.name)} is {literal(column.doc)}"


def _file(file: SqlFile) -> Iterator[str]:
    """A view over several tables, or a mart: the SQL of a file, its comments from the header."""
    yield f"create view {quoted(file.name)} as {file.sql}"
    yield from _comments(View(file.name, file.doc, file.columns))

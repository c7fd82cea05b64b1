"""Render the catalog's SQL: for each table the newest rows, all rows and the rows as of a moment, with comments.

`<table>` shows the newest snapshot, `<table>_history` all snapshots, `<table>_as_of(t)` the newest one at a moment.
Columns are listed explicitly, in the contract's order. The small tables of the schema `lake` hold the rest that views
need, such as commit times. A table whose contract was removed has only its history, with the columns that it had.

Only the views of the schema `files` contain paths. All other views read those, and do not change from snapshot to
snapshot.
"""
# ruff: noqa: S608 - names come from checked contracts, values are quoted by lake/duckdb.py

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

from appstream_export.contracts import (
    ACCOUNT_NAME,
    DUCKDB_TYPES,
    IS_STALE,
    SNAPSHOT_ID,
    VIEW_FOLDERS,
    Column,
    Contract,
    JoinKey,
    SqlFile,
    Table,
    get_operational_table,
    list_snapshot_tables,
    list_view_files,
    load_sql_files,
)
from appstream_export.lake.duckdb import join_identifiers, quote_identifier, quote_literal
from appstream_export.lake.snapshots import KIND_SWEEP, Manifest, TableFiles, build_scan_query, get_retained_files

FILES_SCHEMA = "files"  # the schema of views that name files
HISTORY_SUFFIX, AS_OF_SUFFIX = "_history", "_as_of"
JOINED_TABLES = ("scope_runs", "accounts")
"""Tables that the views of each table with a resource join: their newest rows, or their history."""
_CREATE_VIEW = "create view "
SNAPSHOT_AT = Column("snapshot_at", "timestamp", "When the row's snapshot was committed.")
# A moment `t` as users write it: a date alone means the end of that day, a time without a zone is in UTC. DuckDB 1.4
# requires seconds before a zone, so they are added.
MOMENT_SQL = r"""case
        when regexp_full_match(trim(t::varchar), '\d{4}-\d{1,2}-\d{1,2}')
        then ((trim(t::varchar)::date + 1)::varchar || ' 00:00:00+00')::timestamptz - interval 1 microsecond
        when regexp_matches(trim(t::varchar), '(Z|z| UTC|[+-]\d{2}(:?\d{2}){0,2})$')
        then regexp_replace(trim(t::varchar), '([ T]\d{1,2}:\d{2})(Z|z| UTC|[+-][\d:]+)$', '\1:00\2')::timestamptz
        else (trim(t::varchar)::timestamp::varchar || '+00')::timestamptz
    end"""

# Macros for sql/. Days are in UTC, in any time zone of the reader. Prices come from the newest snapshot's list: the
# most specific row wins, then the newest; null if none matches.
MACROS = (
    "utc_day(t) as make_timestamp(epoch_us(t))::date",
    "midnight(day) as to_timestamp(epoch(day))",
    "hours_between(a, b) as (epoch(b) - epoch(a)) / 3600",
    """hours_within(a, b, day) as
        greatest(0, hours_between(greatest(a, midnight(day)), least(b, midnight(day + 1))))""",
    "days_between(a, b) as generate_series(utc_day(a)::timestamp, utc_day(b)::timestamp, interval 1 day)::date[]",
    """months_between(a, b) as generate_series(
        date_trunc('month', utc_day(a))::timestamp, utc_day(b)::timestamp, interval 1 month)::date[]""",
    # max() compares structs field by field, so the best `place` wins: how specific a row is, then how new.
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
    """A view's name, doc and ordered columns, for the catalog's comments and for `describe`."""

    name: str
    doc: str
    columns: tuple[Column, ...]


def build_newest_view(table: Table) -> View:
    """Return the view of a table's newest rows: its columns and, for contract tables, account name and staleness."""
    return View(table.name, table.doc, table.view_columns)


def render_catalog_statements(
    contracts: Sequence[Contract], manifests: Sequence[Manifest], uri: Callable[[str], str]
) -> Iterator[str]:
    """Yield all statements that create the catalog of a history, in order."""
    yield from render_file_views(contracts, manifests, uri)
    yield from render_table_views(contracts, manifests)


def render_table_views_for_creation(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """Return statements with the result of `render_table_views`, in an order in which DuckDB binds each view once."""
    tables = list_snapshot_tables(contracts)
    return _sort_for_creation(
        tuple(tables), tuple(_find_retired_tables(tables, manifests)), tuple(list_view_files(contracts))
    )


@lru_cache(maxsize=4)
def _sort_for_creation(
    tables: tuple[Table, ...], retired: tuple[Table, ...], files: tuple[SqlFile, ...]
) -> tuple[str, ...]:
    # To create a view, DuckDB binds it with all views below it, which takes most of the time of a new catalog. So each
    # view is first created with its columns alone, and is replaced before those that it reads. Users' views come last:
    # only headers of packaged files are known to be true.
    placeholders = {}
    for table in tables:
        view, past = build_newest_view(table), _build_history_view(table)
        placeholders |= {one.name: _render_placeholder(one.name, _list_types(one)) for one in (view, past)}
    for past in map(_build_history_view, retired):
        placeholders[past.name] = _render_placeholder(past.name, _list_types(past))
    packaged = {file.name for folder in VIEW_FOLDERS for file in load_sql_files(folder)}
    for file in files:
        if file.name in packaged:
            placeholders[file.name] = _render_placeholder(file.name, {c.name: c.type for c in file.columns})
    views, own, macros, comments = list[str](), list[str](), list[str](), list[str]()
    for statement in _render_table_statements(tables, retired, files):
        if statement.startswith(_CREATE_VIEW):
            is_known = statement.removeprefix(_CREATE_VIEW).split('"')[1] in placeholders
            (views if is_known else own).append(statement)
        else:
            (comments if statement.startswith("comment on ") else macros).append(statement)
    replaced = (f"create or replace view {view.removeprefix(_CREATE_VIEW)}" for view in reversed(views))
    return (*placeholders.values(), *macros, *replaced, *own, *comments)


def _list_types(view: "View") -> dict[str, str]:
    return {column.name: DUCKDB_TYPES[column.type] for column in view.columns}


def _render_placeholder(name: str, types: Mapping[str, str]) -> str:
    columns = ", ".join(f"null::{kind} as {quote_identifier(column)}" for column, kind in types.items())
    return f"{_CREATE_VIEW}{quote_identifier(name)} as select {columns}"


def render_file_views(
    contracts: Sequence[Contract], manifests: Sequence[Manifest], uri: Callable[[str], str]
) -> Iterator[str]:
    """Yield the statements whose views name files. They may be run again on an earlier catalog, to update it."""
    yield from _render_commits_table(manifests, uri)
    yield f"create schema if not exists {FILES_SCHEMA}"
    for table in list_snapshot_tables(contracts):
        yield _render_file_view(table.name, build_scan_query(table, _get_newest_files(table, manifests), uri))
    for table in list_catalog_tables(contracts, manifests):
        yield _render_file_view(f"{table.name}{HISTORY_SUFFIX}", _render_history_source(table, manifests, uri))


def list_file_views(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> list[str]:
    """Return the names of the views that name files."""
    newest = [table.name for table in list_snapshot_tables(contracts)]
    return [*newest, *(f"{table.name}{HISTORY_SUFFIX}" for table in list_catalog_tables(contracts, manifests))]


def render_table_views(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """Return the statements that depend on contracts and `sql/`; the history matters only for retired contracts."""
    tables = list_snapshot_tables(contracts)
    return _render_table_statements(
        tuple(tables), tuple(_find_retired_tables(tables, manifests)), tuple(list_view_files(contracts))
    )


@lru_cache(maxsize=4)  # a run needs them when it writes the catalog, and each time that it compares one
def _render_table_statements(
    tables: tuple[Table, ...], retired: tuple[Table, ...], files: tuple[SqlFile, ...]
) -> tuple[str, ...]:
    statements = [
        *chain.from_iterable(
            map(_render_newest_view, sorted(tables, key=lambda table: table.name not in JOINED_TABLES))
        ),
        *chain.from_iterable(map(_render_history_view, retired)),
        *(f"create macro {macro}" for macro in MACROS),
        *chain.from_iterable(map(render_sql_file_view, files)),
    ]
    return tuple(statements)


def list_catalog_tables(contracts: Sequence[Contract], manifests: Sequence[Manifest]) -> list[Table]:
    """Return the tables of the contracts, then those of retired contracts in older snapshots."""
    tables = list_snapshot_tables(contracts)
    return [*tables, *_find_retired_tables(tables, manifests)]


def _render_file_view(name: str, source: str) -> str:
    return f"create or replace view {FILES_SCHEMA}.{quote_identifier(name)} as {source}"


def _render_commits_table(manifests: Sequence[Manifest], uri: Callable[[str], str]) -> Iterator[str]:
    """Yield the statements for lake.commits: every commit, `is_retained` if all its rows can still be read."""
    yield "create schema if not exists lake"
    yield f"create or replace table lake.commits as {build_commits_query(manifests, uri)}"


def build_commits_query(manifests: Sequence[Manifest], uri: Callable[[str], str]) -> str:
    """Return a SELECT of the rows of lake.commits from committed files."""
    snapshots = get_operational_table("snapshots")
    retained = ", ".join(str(m.seq) for m in manifests if m.kind == KIND_SWEEP)
    return (
        f"select seq, snapshot_id, committed_at, seq in ({retained}) as is_retained"
        f" from ({build_scan_query(snapshots, [manifests[-1].tables[snapshots.name]], uri)})"
    )


def _render_newest_view(table: Table) -> Iterator[str]:
    view = build_newest_view(table)
    yield f"create view {quote_identifier(view.name)} as {render_newest_select(table)}"
    yield from _render_comments(view)
    yield from _render_history_view(table)


def _render_history_view(table: Table) -> Iterator[str]:
    past = _build_history_view(table)
    yield f"create view {quote_identifier(past.name)} as {_render_view_select(table, past, past=True)}"
    yield _render_as_of_macro(table, past)
    yield from _render_comments(past)


def _build_history_view(table: Table) -> View:
    columns = build_newest_view(table).columns if table.cumulative else (*build_newest_view(table).columns, SNAPSHOT_AT)
    return View(f"{table.name}{HISTORY_SUFFIX}", f"{table.doc} All snapshots.", columns)


def render_history_select(table: Table, source: str) -> str:
    """Return the SELECT of a table's history, with the rows of `source` in place of those of its files."""
    return _render_view_select(table, _build_history_view(table), past=True, source=source)


def _get_newest_files(table: Table, manifests: Sequence[Manifest]) -> list[TableFiles]:
    files = manifests[-1].tables.get(table.name)
    return [files] if files else []


def _render_history_source(table: Table, manifests: Sequence[Manifest], uri: Callable[[str], str]) -> str:
    """Return a query of the rows of all retained sweeps, and of the rows retained from expired ones.

    A cumulative table's newest files hold all its rows.
    """
    if table.cumulative:
        return build_scan_query(table, _get_newest_files(table, manifests), uri)
    own = [files for m in manifests if m.kind == KIND_SWEEP and (files := m.tables.get(table.name))]
    return render_history_query(table, own, get_retained_files(manifests).get(table.name, []), uri)


def render_history_query(
    table: Table, own: Sequence[TableFiles], collected: Sequence[TableFiles], uri: Callable[[str], str]
) -> str:
    """Return a query of rows of snapshots' own files, and of files of which `snapshot_id` is a column."""
    found = build_scan_query(table, own, uri)
    if not collected:
        return found
    return f"{found} union all {build_scan_query(replace(table, cumulative=True), collected, uri)}"


def _find_retired_tables(tables: Sequence[Table], manifests: Sequence[Manifest]) -> list[Table]:
    """Return the tables that only older snapshots have; without a contract, their columns come from the manifests."""
    known, gone = {table.name for table in tables}, dict[str, dict[str, str]]()
    for manifest in manifests:
        found = manifest.tables | {name: files[-1] for name, files in manifest.kept.items()}
        for name in found.keys() - known:
            gone[name] = gone.get(name, {}) | found[name].columns
    doc = "Of a resource that is no longer exported."
    return [
        Table(name, doc, (SNAPSHOT_ID, *_build_columns(columns, doc)), key=()) for name, columns in sorted(gone.items())
    ]


def _build_columns(stored: Mapping[str, str], doc: str) -> Iterator[Column]:
    return (Column(name, kind, doc) for name, kind in stored.items() if name != SNAPSHOT_ID.name)


def render_newest_select(table: Table) -> str:
    """Return the SELECT of a table's newest rows, which joins the account's name and the state of the scope."""
    return _render_view_select(table, build_newest_view(table), past=False)


def _render_view_select(table: Table, view: View, *, past: bool, source: str | None = None) -> str:
    keys = {key.name: _render_join_key(key) for key in table.join_keys}
    names = ", ".join(keys.get(column.name) or _render_column_source(column) for column in view.columns)
    joins, suffix, snapshot = "", ("_history" if past else ""), ("snapshot_id, " if past else "")
    if past and not table.cumulative:
        joins += " join lake.commits as c using (snapshot_id)"
    # Left joins: a row stays visible even if its account or its scope has no row.
    if table.resource:
        joins += f" left join accounts{suffix} as a using ({snapshot}account_id)"
        run = f"(select * from scope_runs{suffix} where resource = {quote_literal(table.resource)})"
        joins += f" left join {run} as s using ({snapshot}account_id, region)"
    return f"select {names} from {source or f'{FILES_SCHEMA}.{quote_identifier(view.name)}'} as r{joins}"


def _render_join_key(key: JoinKey) -> str:
    """Return the SQL of a join key: account, region and the item's names, separated by slashes."""
    account_id, region, *names = (f"r.{quote_identifier(column)}" for column in key.columns)
    # A single name may contain slashes: the other parts cannot, so the key is unique. Several names are escaped.
    if len(names) > 1:
        names = [f"replace(replace({name}, '%', '%25'), '/', '%2F')" for name in names]
    return f"concat_ws('/', {', '.join((account_id, region, *names))}) as {quote_identifier(key.name)}"


def _render_column_source(column: Column) -> str:
    if column is ACCOUNT_NAME:
        return "a.account_name"
    if column is IS_STALE:
        return "s.is_stale"
    return "c.committed_at as snapshot_at" if column is SNAPSHOT_AT else f"r.{quote_identifier(column.name)}"


def _render_as_of_macro(table: Table, past: View) -> str:
    when = f"committed_at <= {MOMENT_SQL}"
    if not table.cumulative:
        newest = f"select snapshot_id from lake.commits where is_retained and {when} order by seq desc limit 1"
        when = f"snapshot_id = ({newest})"
    columns = join_identifiers(column.name for column in past.columns)
    select = f"select {columns} from {quote_identifier(past.name)} where {when}"
    return f"create macro {quote_identifier(f'{table.name}{AS_OF_SUFFIX}')}(t) as table {select}"


def _render_comments(view: View) -> Iterator[str]:
    yield f"comment on view {quote_identifier(view.name)} is {quote_literal(view.doc)}"
    for column in view.columns:
        name = f"{quote_identifier(view.name)}.{quote_identifier(column.name)}"
        yield f"comment on column {name} is {quote_literal(column.doc)}"


def render_sql_file_view(file: SqlFile) -> Iterator[str]:
    """Yield the statements for a view or mart of `sql/`, with comments from the file's header."""
    yield f"create view {quote_identifier(file.name)} as {file.sql}"
    yield from _render_comments(View(file.name, file.doc, file.columns))
